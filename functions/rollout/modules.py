"""A loop's module catalogue: what its `[[module]]` sections say, as containers and routes of IoT Edge.

Source: Azure Stack Edge documentation for shares and GPUs of modules; Docker Engine API, container create.
"""

from collections.abc import Mapping

from functions import loops
from functions.loops import Loop
from functions.manifests.model import Module, Route, Settings, Variable

PORT = 8080  # of the scoring endpoint
TELEMETRY = "telemetry"
STARTS_FIRST = 1


def catalogue(loop: Loop) -> list[loops.Module]:
    """The modules of a loop, the scoring one first; what its section leaves out, or all of it, is filled in."""
    usual = {"ports": {f"{PORT}/tcp": PORT}, "sends": [TELEMETRY], "starts": STARTS_FIRST}
    own = next((one for one in loop.module if one.name == loop.rollout.module), loops.Module(name=loop.rollout.module))
    left_out = {name: value for name, value in usual.items() if name not in own.model_fields_set}
    return [own.model_copy(update=left_out), *(one for one in loop.module if one.name != own.name)]


def container(module: loops.Module, *, image: str, environment: Mapping[str, str]) -> Module:
    """A module as a container.

    Args:
        module: Its section of the loop file.
        image: Digest-pinned image; the section's own comes first.
        environment: Plain settings, which the section's own override; never a secret.
    """
    variables = {**environment, **module.environment}
    if module.gpu == "stack edge":
        variables["NVIDIA_VISIBLE_DEVICES"] = "all"
    return Module(
        settings=Settings(image=module.image or image, options=_options(module)),
        env={name: Variable(value=value) for name, value in sorted(variables.items())} or None,
        restart_policy=module.restart,
        startup_order=module.starts,
    )


def routes(module: loops.Module) -> dict[str, str | Route]:
    """Where a module's outputs go: to the cloud, or to an input of another module."""
    start = f"FROM /messages/modules/{module.name}/outputs"
    to_cloud = {f"{module.name}-{output}": f"{start}/{output} INTO $upstream" for output in module.sends}
    onward = {
        f"{module.name}-{output}-onward": f'{start}/{output} INTO BrokeredEndpoint("/modules/{name}/inputs/{port}")'
        for output, (name, _, port) in ((output, place.partition("/")) for output, place in module.feeds.items())
    }
    return {**to_cloud, **onward}


def _options(module: loops.Module) -> dict[str, object]:
    """Docker's options, from what a loop file can say and from nothing else."""
    host: dict[str, object] = {}
    if module.ports:
        host["PortBindings"] = {name: [{"HostPort": str(port)}] for name, port in sorted(module.ports.items())}
    if module.shares:
        mounts = [{"Type": "volume", "Source": share, "Target": path} for share, path in sorted(module.shares.items())]
        host["Mounts"] = mounts
    if module.gpu == "docker":
        host["DeviceRequests"] = [{"Count": -1, "Capabilities": [["gpu"]]}]
    if module.memory:
        host["Memory"] = module.memory
    exposed: dict[str, object] = {"ExposedPorts": {name: {} for name in sorted(module.ports)}} if module.ports else {}
    return {**exposed, **({"HostConfig": host} if host else {})}
