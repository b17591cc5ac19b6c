# The README's two commands are `make lab` and `make test`; `make` without arguments lists all.

VENV   := $(CURDIR)/.venv
PYTHON := $(VENV)/bin/python
MINICT := $(VENV)/bin/minict
TESTS  ?=
# pytest gets tests/vm, which has no tests, so that it always loads tests/conftest.py: notebooks need that too
SIDE_BY_SIDE = python3 tests/support/side_by_side.py tests/weights.txt

ROOT := $(filter 0,$(shell id -u))

ROOTLESS := tests/integration/rootless

# what the first container prints about itself
FIRST = echo "  my host name is $$(hostname)"; \
        echo "  I am process $$$$"; \
        echo "  my address is $$(hostname -i)"

# The unit tests as an ordinary user also when root types make, unless nobody may read this folder
AS_NOBODY = $(shell drop='setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp'; \
        [ "$$(id -u)" = 0 ] && $$drop test -r Makefile && echo "$$drop")

# test-NAME compares an engine: see tests/engines/
define engine
@MINICT_WITH_TESTS=1 MINICT_WITH_ENGINES=1 sh vagrant/provision.sh
$(PYTHON) -m pytest --timeout=1200 tests/vm tests/engines/$(@:test-%=%).py $(if $(SMOKE),-k smoke)
endef

.PHONY: help lab vm test test-unit test-podman test-docker test-containerd test-cri test-swarm test-slurm test-hub test-systemd test-dockerfiles test-v2 test-vm test-course test-guests test-install lint docs bench notebooks clean uninstall provision provision-user root test-rootless

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

lab: $(if $(ROOT),provision,provision-user) ## set everything up, run a first container, open the course; as root, or without (LAB_BACKGROUND=1: in the background)
	@echo "Output of the first container:"
	@$(MINICT) run --rm tiny sh -c '$(FIRST)' || { $(MINICT) doctor; exit 1; }
	@$(PYTHON) -m minict.lab.server

vm: root ## run the course in a virtual machine, for the browser on this computer
	@MINICT_WITH_VM=1 sh vagrant/provision.sh system_packages
	@vagrant/vm.sh

test: root ## run all tests, including the notebooks (TESTS="tests/integration/runtime/test_cgroup.py": only these)
	@MINICT_WITH_TESTS=1 sh vagrant/provision.sh
	$(SIDE_BY_SIDE) $(or $(TESTS),tests notebooks) -- $(PYTHON) -m pytest tests/vm

test-v2: root ## run the tests of control groups, minict-oci, and every notebook on cgroup v2, with User Mode Linux
	@MINICT_WITH_V2=1 sh vagrant/provision.sh system_packages
	tests/vm/v2.sh $(TESTS)

test-unit: ## run the tests that need no root, in seconds (as root they run as nobody)
	@[ -x $(PYTHON) ] || { echo "The tests need the virtual environment: type 'sudo make test' once" >&2; exit 1; }
	@$(AS_NOBODY) $(PYTHON) -B -m pytest -p no:cacheprovider tests/unit

test-vm: root ## run the tests in a virtual machine: Debian 13 with its own kernel, systemd and cgroup v2
	@MINICT_WITH_VM=1 sh vagrant/provision.sh system_packages
	MINICT_VM_SYSTEMD=1 tests/vm/qemu.sh python -m pytest --timeout=3600 --nbval-cell-timeout=1500 $(TESTS) tests/vm

test-rootless: root ## test everything without root, as an ordinary user of this machine (SMOKE=1: a few commands)
	@MINICT_WITH_TESTS=1 sh vagrant/provision.sh
	$(PYTHON) -m pytest tests/vm $(or $(TESTS),$(ROOTLESS)/behaviour.py $(if $(SMOKE),-k smoke,$(ROOTLESS)/clean_clone.py $(wildcard $(ROOTLESS)/test_*.py)))

test-course: root ## test the virtual machine of `make vm` from outside: a browser, a terminal, a kernel that hangs
	@MINICT_WITH_TESTS=1 MINICT_WITH_VM=1 sh vagrant/provision.sh
	$(PYTHON) -m pytest --noconftest --timeout=3600 tests/vm/course.py

test-guests: root ## test the guests of `make test-v2` themselves: exit status, deadline, what is left after kill -9
	@MINICT_WITH_TESTS=1 MINICT_WITH_V2=1 sh vagrant/provision.sh
	$(PYTHON) -m pytest --noconftest --timeout=3600 tests/vm/guests.py

test-install: root ## test in fresh Debian and Ubuntu roots that each target installs all that it needs: an hour, gigabytes
	@MINICT_WITH_TESTS=1 sh vagrant/provision.sh
	$(PYTHON) -m pytest --noconftest --timeout=3600 tests/vm/install.py $(TESTS)

test-podman: root ## compare Podman that runs minict-oci with Podman that runs runc (SMOKE=1: a few commands)
	$(engine)

test-docker: root ## the same for Docker, in namespaces (SMOKE=1: a few commands)
	$(engine)

test-containerd: root ## the same for containerd's ctr (SMOKE=1: a few commands)
	$(engine)

test-cri: root ## the same for the calls of a kubelet: pods, containers, exec, through containerd's CRI
	$(engine)

test-swarm: root ## the same for Docker Swarm on two nodes in namespaces: replicas, names, updates, drain (SMOKE=1: one service)
	$(engine)

test-slurm: root ## the same for Slurm's jobs on two nodes in namespaces (SMOKE=1: one job)
	$(engine)

test-hub: root ## test JupyterHub, whose containers minict-oci makes: two learners run chapter 00 (downloads a gigabyte)
	@command -v npm >/dev/null || { apt-get -qq update && apt-get -qq -y install --no-install-recommends npm; }
	$(engine)

test-systemd: root ## test control groups that systemd creates (minict-oci --systemd-cgroup), in User Mode Linux with systemd
	@MINICT_WITH_V2=1 sh vagrant/provision.sh system_packages
	MINICT_VM_SYSTEMD=1 tests/vm/uml.sh python -m pytest --timeout=300 tests/vm tests/engines/systemd.py

test-dockerfiles: root ## compare what Dockerfiles mean with Debian's Docker and BuildKit, in namespaces (DOCKERFILES=DIR: further files)
	@MINICT_WITH_TESTS=1 sh vagrant/provision.sh
	$(PYTHON) -m tests.bench.dockerfiles $(DOCKERFILES)

lint: ## check style, formatting and types, as CI does (`ruff check --fix` and `ruff format` repair the first two)
	@[ -x $(VENV)/bin/ruff ] && [ -x $(VENV)/bin/mypy ] || $(MAKE) --no-print-directory provision
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: ## the API reference as web pages: docs/_build/index.html
	@[ -x $(VENV)/bin/sphinx-build ] || $(MAKE) --no-print-directory provision
	$(VENV)/bin/sphinx-build --quiet --fail-on-warning docs docs/_build

bench: root ## measure speed, compared with runc, crun, bwrap, unshare, podman and docker
	@MINICT_WITH_BENCH=1 sh vagrant/provision.sh
	$(PYTHON) -m tests.bench.all

notebooks: provision ## run all notebooks and save their outputs
	$(PYTHON) -m tests.support.execute_notebooks $(wildcard notebooks/*.ipynb)

clean: ## remove all build products in this folder, and the virtual machines with everything in them
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache docs/api docs/_build build *.egg-info "$${MINICT_VM_CACHE:-$$HOME/.cache/minict}"
	find . -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

uninstall: root ## clean, and remove the commands, images and containers from this machine
	@sh vagrant/uninstall.sh
	@$(MAKE) --no-print-directory clean

provision: root
	@sh vagrant/provision.sh

provision-user:
	@MINICT_BIN= sh vagrant/provision.sh ordinary_user python_environment commands default_image chapter_images

root:
	@[ "$$(id -u)" = 0 ] || { echo "Containers need root: run  sudo make $(MAKECMDGOALS)" >&2; exit 1; }
