# The course for a class: each learner gets a container of Docker, whose runtime is minict.  See ../jupyterhub.md.
c.JupyterHub.spawner_class = "docker"
c.JupyterHub.hub_ip = "172.17.0.1"  # Docker's bridge: containers reach the hub there

c.JupyterHub.authenticator_class = "shared-password"  # one password for all: for a room in which all are trusted
c.SharedPasswordAuthenticator.user_password = "six pieces"
c.Authenticator.allowed_users = {"ada", "grace"}

c.DockerSpawner.image = "minict-course"
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.remove = True  # a container ends with its server; the volumes stay
c.DockerSpawner.volumes = {
    "minict-{username}": "/var/lib/minict",  # images and containers
    "work-{username}": "/course/work",  # the learner's copies of the chapters
    "home-{username}": "/root",  # the learner's progress
}
c.DockerSpawner.extra_host_config = {
    "runtime": "minict",
    "privileged": True,  # a container that makes containers
    "cgroupns": "private",
}
c.DockerSpawner.mem_limit = "2G"
c.DockerSpawner.default_url = "/lab/tree/work/00-what-is-a-container.ipynb"
