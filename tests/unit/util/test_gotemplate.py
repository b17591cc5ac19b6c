"""Docker's --format: common templates give Docker's output, and an error is one sentence."""

from __future__ import annotations

import pytest

from minict.engine.util.gotemplate import Template
from minict.runtime.errors import ContainerError

BOX = {
    "ID": "abc",
    "Names": "web",
    "Cmd": ["sh", "-c", "x y"],
    "Share": 1.5,
    "Whole": 3.0,
    "State": {"Pid": 12, "Running": True, "Health": None},
    "Labels": {"org.x/tier": "front", "k": "v"},
    "Nothing": [],
    "Mounts": [{"Source": "/x", "Destination": "/y"}, {"Source": "/z", "Destination": "/w"}],
    "Size": lambda: "9kB",
    "Label": lambda name: {"org.x/tier": "front"}.get(name, ""),
}


@pytest.mark.parametrize(
    "template, expected",
    [
        ("plain", "plain"),
        ("{{.ID}}: {{ .State.Pid }}", "abc: 12"),
        ("{{json .State}}", '{"Pid":12,"Running":true,"Health":null}'),
        ("{{json .Size}} {{json .Cmd}}", '"9kB" ["sh","-c","x y"]'),
        (
            "{{.State.Running}} {{.State.Health}} {{.Cmd}} {{.Labels}}",
            "true <nil> [sh -c x y] map[k:v org.x/tier:front]",
        ),
        ("{{.Share}} {{.Whole}}", "1.5 3"),
        # blocks
        ("{{range .Mounts}}{{.Source}}->{{.Destination}} {{end}}", "/x->/y /z->/w "),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "k=v;org.x/tier=front;"),
        ("{{range $i, $m := .Mounts}}{{$i}}{{$m.Source}} {{end}}", "0/x 1/z "),
        ("{{range.Mounts}}{{.Source}}{{end}}{{if(eq 1 1)}}y{{end}}", "/x/zy"),
        ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Health}}h{{else if .State.Running}}r{{else}}n{{end}}", "r"),
        ("{{if .Nothing}}a{{else}}b{{end}}{{if .ID}}c{{end}}", "bc"),
        ("{{with .State}}{{.Pid}} {{$.ID}}{{else}}x{{end}}", "12 abc"),
        ("{{with .State.Health}}x{{else}}no health check{{end}}", "no health check"),
        ("{{with $m := index .Mounts 1}}{{$m.Source}}{{.Destination}}{{end}}", "/z/w"),
        ("{{$n := 0}}{{range .Mounts}}{{$n = len .Source}}{{end}}{{$n}}", "2"),
        ("{{- /* said to nobody */ -}} a  {{- .ID -}}   b", "aabcb"),
        ('{{range .Cmd}}{{if eq . "-c"}}{{continue}}{{end}}<{{.}}>{{end}}', "<sh><x y>"),
        ('{{range .Cmd}}{{.}}{{if eq . "-c"}}!{{break}}{{end}},{{end}}.', "sh,-c!."),
        ("{{range .Mounts}}{{range $.Cmd}}{{.}}{{break}}{{end}}{{.Source}} {{end}}", "sh/x sh/z "),
        ('{{define "T"}}<{{.}}>{{end}}{{template "T" .ID}}{{template "T"}}', "<abc><<nil>>"),
        ('{{template "T" .State}}{{define "T"}}{{.Pid}}{{with $.Running}}{{.}}{{end}}{{end}}', "12true"),
        ('{{block "B" .ID}}[{{.}}]{{end}}{{template "B" 7}}', "[abc][7]"),
        ('{{define "tree"}}{{if gt . 0}}{{.}}{{template "tree" 0}}{{end}}{{end}}{{template "tree" 3}}', "3"),
        # functions
        ("""{{html "<a href='x'>&\\"</a>"}}""", "&lt;a href=&#39;x&#39;&gt;&amp;&#34;&lt;/a&gt;"),
        ("""{{js "it's <b> \\"x\\" a=b\\n"}}""", r"it\'s \u003Cb\u003E \"x\" a\u003Db\u000A"),
        ('{{urlquery "a b/c?d=é~"}}{{"x y" | urlquery}}', "a+b%2Fc%3Fd%3D%C3%A9~x+y"),
        (
            '{{printf "%T %T %T %T %T %T" "s" 1 1.5 true .Cmd .State}}',
            "string int float64 bool []interface {} map[string]interface {}",
        ),
        ('{{printf "%x %X %b %o %c %U %e" "hi" "hi" 5 8 65 65 1.5}}', "6869 6869 101 10 A U+0041 1.500000e+00"),
        (
            '{{index .Labels "org.x/tier"}}|{{index .Labels "no"}}|{{(index .Mounts 1).Source}}|{{index .Cmd 2}}',
            "front||/z|x y",
        ),
        ('{{.Size}} {{.Label "org.x/tier"}}{{.Label `none`}}', "9kB front"),
        ('{{join .Cmd ", "}} {{len .Cmd}} {{slice .ID 1}} {{slice .ID 0 1}}', "sh, -c, x y 3 bc a"),
        (
            '{{upper .ID}} {{lower "ABC"}} {{title "web"}} {{split "a,b" ","}} {{truncate .ID 2}} {{pad .ID 1 2}}|',
            "ABC abc Web [a b] ab  abc  |",
        ),
        ('{{printf "%-6s|%q|%05d|%v|%%|%.1f" .ID .Names .State.Pid true .Share}}', 'abc   |"web"|00012|true|%|1.5'),
        ('{{ .ID | upper | printf "%s-%s" "x" }}', "x-ABC"),
        ("{{println .ID .State.Pid}}{{print 1 2 .ID}}", "abc 12\n1 2abc"),
        (
            '{{eq .ID "x" "abc"}} {{ne .ID "abc"}} {{lt 1 2}} {{ge .State.Pid 12}} {{not .State.Running}}',
            "true false true true false",
        ),
        ('{{if and .ID (eq .State.Pid 12)}}y{{end}} {{or "" .Names}} {{and 0 .Nix}}', "y web 0"),
        ('{{"}}"}}{{`{{`}}', "}}{{"),
    ],
)
def test_a_template_gives_what_go_gives(template, expected):
    assert Template(template).render(BOX) == expected


def test_null_is_empty_in_a_template():
    host = {"Binds": None, "Tmpfs": None, "PidsLimit": None}
    template = (
        '{{.Binds}} {{.Tmpfs}} {{.PidsLimit}} {{len .Binds}} {{join .Binds ","}}|{{range '
        ".Binds}}x{{end}}|{{if .Tmpfs}}x{{end}}|"
    )
    assert Template(template).render(host) == "[] map[] <nil> 0 |||"
    assert Template("{{json .Binds}} {{json .}}").render(host) == 'null {"Binds":null,"Tmpfs":null,"PidsLimit":null}'


@pytest.mark.parametrize(
    "template, word",
    [
        ("{{.Nix}}", "unknown field .Nix: use one of Cmd, ID"),
        ("{{.State.Pidd}}", "use one of Health, Pid, Running"),
        ("{{.ID.x}}", "no fields"),
        ("{{.State.Health.Status}}", "there is no value before .Status"),
        ("{{.ID", "without a closing '}}'"),
        ("{{if .ID}}", "has no {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{if .ID}}{{else}}{{else}}{{end}}", "two {{else}}"),
        ("{{foo .ID}}", "unknown function 'foo': use one of and, call, eq"),
        ("{{not eq .ID 1}}", "put eq and its arguments into parentheses"),
        ("{{eq .ID 1}}", "eq can't be called with (abc, 1)"),
        ("{{eq .ID}}", "eq can't be called"),
        ("{{and}}", "needs arguments"),
        ("{{index .Mounts 9}}", "it has 2 elements"),
        ("{{index .Mounts -1}}", "it has 2 elements"),
        ("{{slice .State 1}}", "slice can't be called"),
        ('{{printf "%d" .ID}}', "printf can't be called"),
        ('{{.ID "x"}}', "takes no arguments"),
        ("{{.Label}}", "can't be called with 0 arguments"),
        ("{{12 13}}", "begin with a function"),
        ("{{$y}}", "undefined variable $y"),
        ("{{if true}}{{$y := 1}}{{end}}{{$y}}", "undefined variable $y"),
        ("{{range .ID}}{{end}}", "range needs a list or a map"),
        ('{{template "x"}}', "no template 'x'"),
        ("{{template x}}", "name of a template is missing"),
        ('{{define "x"}}', "has no {{end}}"),
        ('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', "without an end"),
        ("{{break}}", "{{break}} is not inside a range"),
        ('{{range .Cmd}}{{define "x"}}{{continue}}{{end}}{{end}}', "not inside a range"),
        ("{{call .ID}}", "not a function"),
        ("{{.ID @}}", "'@' in {{.ID @}}"),
        ("{{}}", "a value is missing"),
        ("{{(.ID}}", "')' is missing"),
        ("{{.ID) }}", "unexpected ')'"),
        ("{{.ID | }}", "a value is missing"),
        ('{{"a\\q"}}', "escape"),
        ("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "nested too deeply"),
        ("{{if 1}}" * 5000 + "{{end}}" * 5000, "nested too deeply"),
        ("{{println .ID | join}}", "join can't be called with (abc\\n)"),
        ("{{.__class__}}", "unknown field .__class__"),
    ],
)
def test_an_error_is_one_sentence(template, word):
    with pytest.raises(ContainerError) as caught:
        Template(template).render(BOX)
    assert str(caught.value).startswith("--format: ") and word in str(caught.value)
    assert "\n" not in str(caught.value)
