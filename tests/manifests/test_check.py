import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.manifests.findings import RULES
from functions.manifests.read import read
from tests.manifests.published import schema
from tests.manifests.wild import PINNED, base, changed, codes, found, module

HERE = Path(__file__).parent
SOUND = sorted((HERE / "sound").iterdir())
MODULE = "A/modules/filter"


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.name)
def test_a_manifest_as_people_write_it_has_no_error(path: Path) -> None:
    assert [one for one in found(path.read_bytes(), name=path.name) if one.severity == "error"] == []
    kind = "layered" if path.name.startswith("layered") else "base"
    assert read(path.read_bytes(), name=path.name).kind == kind


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.name)
def test_only_what_somebody_fills_in_is_a_template(path: Path) -> None:
    assert read(path.read_bytes()).template == (".template." in path.name)


def test_a_sound_base_has_nothing_to_find() -> None:
    assert found(base()) == []


BROKEN = {
    "no $edgeAgent": ("modulesContent/$edgeAgent", ..., "AGENT_MISSING"),
    "no $edgeHub": ("modulesContent/$edgeHub", ..., "HUB_MISSING"),
    "an emptied $edgeAgent": ("modulesContent/$edgeAgent", {}, "MISSING"),
    "a section that is a list": ("modulesContent/$edgeHub", [], "WRONG_TYPE"),
    "a key that is no property": ("modulesContent/$edgeHub/settings", {}, "SECTION_KEY"),
    "modules of a list": ("modulesContent", [], "WRAPPER"),
    "desired of a text": ("modulesContent/$edgeAgent/properties.desired", "x", "WRONG_TYPE"),
    "no schemaVersion": ("A/schemaVersion", ..., "MISSING"),
    "a schemaVersion of a number": ("A/schemaVersion", 1.1, "WRONG_TYPE"),
    "an unknown schemaVersion": ("A/schemaVersion", "2.0", "SCHEMA_VERSION"),
    "a schemaVersion that is none": ("A/schemaVersion", "latest", "SCHEMA_VERSION"),
    "an unknown schemaVersion of the hub": ("H/schemaVersion", "1.4", "SCHEMA_VERSION"),
    "no runtime": ("A/runtime", ..., "MISSING"),
    "another runtime": ("A/runtime/type", "podman", "MODULE_TYPE"),
    "settings of a list": ("A/runtime/settings", [], "WRONG_TYPE"),
    "no system modules": ("A/systemModules", ..., "MISSING"),
    "no edgeHub module": ("A/systemModules/edgeHub", ..., "MISSING"),
    "an edgeHub without status": ("A/systemModules/edgeHub/status", ..., "MISSING"),
    "modules in a list": ("A/modules", [module()], "WRONG_TYPE"),
    "a module of a text": (MODULE, "filter", "WRONG_TYPE"),
    "no type": (f"{MODULE}/type", ..., "MISSING"),
    "another type": (f"{MODULE}/type", "Docker", "MODULE_TYPE"),
    "no status": (f"{MODULE}/status", ..., "MISSING"),
    "a bad status": (f"{MODULE}/status", "started", "MODULE_STATUS"),
    "a status of a boolean": (f"{MODULE}/status", True, "WRONG_TYPE"),
    "a bad restart policy": (f"{MODULE}/restartPolicy", "sometimes", "RESTART_POLICY"),
    "a bad pull policy": (f"{MODULE}/imagePullPolicy", "always", "PULL_POLICY"),
    "a negative startup order": (f"{MODULE}/startupOrder", -1, "WRONG_TYPE"),
    "a startup order in quotes": (f"{MODULE}/startupOrder", "1", "WRONG_TYPE"),
    "no settings": (f"{MODULE}/settings", ..., "MISSING"),
    "no image": (f"{MODULE}/settings/image", ..., "MISSING"),
    "an empty image": (f"{MODULE}/settings/image", " ", "IMAGE"),
    "an address as image": (f"{MODULE}/settings/image", "https://contoso.azurecr.io/filter:1", "IMAGE"),
    "an image with a space": (f"{MODULE}/settings/image", "contoso.azurecr.io/my filter:1", "IMAGE"),
    "an image of two tags": (f"{MODULE}/settings/image", "contoso.azurecr.io/filter:1:2", "IMAGE"),
    "tag and digest": (f"{MODULE}/settings/image", PINNED.replace("@", ":1.0@"), "IMAGE_TAG_AND_DIGEST"),
    "an image of a number": (f"{MODULE}/settings/image", 5, "WRONG_TYPE"),
    "options that are no JSON": (f"{MODULE}/settings/createOptions", '{"HostConfig":', "CREATE_OPTIONS_JSON"),
    "options that are a list": (f"{MODULE}/settings/createOptions", "[]", "CREATE_OPTIONS_JSON"),
    "options of a number": (f"{MODULE}/settings/createOptions", 7, "WRONG_TYPE"),
    "bindings that are no list": (
        f"{MODULE}/settings/createOptions",
        '{"HostConfig":{"PortBindings":{"80/tcp":{"HostPort":"80"}}}}',
        "CREATE_OPTIONS_TYPE",
    ),
    "a gap between chunks": (f"{MODULE}/settings/createOptions02", "", "CREATE_OPTIONS_CHUNKS"),
    "no first chunk": (f"{MODULE}/settings", {"image": PINNED, "createOptions01": "{}"}, "CREATE_OPTIONS_CHUNKS"),
    "a bare variable": (f"{MODULE}/env", {"LEVEL": "debug"}, "ENV"),
    "a variable of an object": (f"{MODULE}/env", {"LEVEL": {"value": {}}}, "ENV"),
    "a variable with a dot": (f"{MODULE}/env", {"log.level": {"value": "1"}}, "ENV"),
    "env in a list": (f"{MODULE}/env", ["A=b"], "WRONG_TYPE"),
    "a name with a space": ("A/modules/my filter", module(), "MODULE_NAME"),
    "a name with a dot": ("A/modules/my.filter", module(), "MODULE_NAME"),
    "a name beyond ASCII": ("A/modules/füller", module(), "MODULE_NAME"),
    "a name that is too long": ("A/modules/" + "m" * 129, module(), "MODULE_NAME"),
    "a module named edgeHub": ("A/modules/edgeHub", module(), "MODULE_RESERVED"),
    "51 modules": ("A/modules", {f"m{n}": module() for n in range(51)}, "MODULE_COUNT"),
    "a password that is missing": (
        "A/runtime/settings",
        {"registryCredentials": {"r": {"address": "a", "username": "u"}}},
        "CREDENTIALS",
    ),
    "no routes": ("H/routes", ..., "MISSING"),
    "routes in a list": ("H/routes", [], "WRONG_TYPE"),
    "a route of a number": ("H/routes/up", 1, "WRONG_TYPE"),
    "a route without INTO": ("H/routes/up", "FROM /messages/*", "ROUTE_SYNTAX"),
    "a route without FROM": ("H/routes/up", "/messages/* INTO $upstream", "ROUTE_SYNTAX"),
    "an empty route": ("H/routes/up", "", "ROUTE_SYNTAX"),
    "a route into nowhere": ("H/routes/up", "FROM /messages/* INTO", "ROUTE_SYNTAX"),
    "a route into another cloud": ("H/routes/up", "FROM /messages/* INTO $cloud", "ROUTE_SYNTAX"),
    "a route into half an endpoint": ("H/routes/up", 'FROM /* INTO BrokeredEndpoint("/modules/a")', "ROUTE_SYNTAX"),
    "a route in curly quotes": ("H/routes/up", "FROM /* INTO BrokeredEndpoint(“/modules/a/inputs/b”)", "ROUTE_SYNTAX"),
    "a source without a slash": ("H/routes/up", "FROM messages/* INTO $upstream", "ROUTE_SYNTAX"),
    "an open parenthesis": ("H/routes/up", "FROM /* WHERE (a > 1 INTO $upstream", "ROUTE_SYNTAX"),
    "an open quote": ("H/routes/up", "FROM /* WHERE a = 'x INTO $upstream", "ROUTE_SYNTAX"),
    "half a comparison": ("H/routes/up", "FROM /* WHERE a > INTO $upstream", "ROUTE_SYNTAX"),
    "a priority of ten": ("H/routes/up", {"route": "FROM /* INTO $upstream", "priority": 10}, "ROUTE_NUMBER"),
    "a priority in quotes": ("H/routes/up", {"route": "FROM /* INTO $upstream", "priority": "1"}, "WRONG_TYPE"),
    "a route object without a route": ("H/routes/up", {"priority": 1}, "MISSING"),
    "seconds in quotes": ("H/storeAndForwardConfiguration/timeToLiveSecs", "7200", "WRONG_TYPE"),
    "a twin name with a dollar": ("modulesContent/filter", {"properties.desired": {"$a": 1}}, "TWIN_KEY"),
    "a long text": ("modulesContent/filter", {"properties.desired": {"a": "x" * 4097}}, "TWIN_STRING"),
    "a large number": ("modulesContent/filter", {"properties.desired": {"a": 2**53}}, "TWIN_NUMBER"),
    "many properties": (
        "modulesContent/filter",
        {"properties.desired": {f"p{n}": "x" * 4000 for n in range(9)}},
        "TWIN_SIZE",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_iot_edge_would_refuse_or_misread_is_an_error(name: str) -> None:
    path, value, code = BROKEN[name]
    assert code in codes(changed(path, value))


def test_a_finding_says_where_why_and_what_to_do() -> None:
    (one,) = found(changed(f"{MODULE}/restartPolicy", "sometimes"))
    assert one.pointer == "/modulesContent/$edgeAgent/properties.desired/modules/filter/restartPolicy"
    assert one.reason == "'sometimes' is none of never, on-failure, on-unhealthy, always"
    assert one.fix == "use never, on-failure, on-unhealthy or always"


def test_a_pointer_escapes_slashes_and_tildes() -> None:
    (one,) = found(changed("modulesContent/filter", {"properties.desired": {"a/b~c": {"$x": 1}}}))
    assert one.pointer == "/modulesContent/filter/properties.desired/a~1b~0c/$x"


def test_depth_is_counted_below_the_desired_properties() -> None:
    ten: object = {"deepest": 1}
    for _ in range(10):
        ten = {"level": ten}
    assert codes(changed("modulesContent/filter", {"properties.desired": ten})) == set()
    assert codes(changed("modulesContent/filter", {"properties.desired": {"one": ten}})) == {"TWIN_DEPTH"}


def test_a_route_object_needs_schema_1_1_of_the_hub() -> None:
    document = changed("H/routes/up", {"route": "FROM /* INTO $upstream"})
    assert codes(document) == set()
    document["modulesContent"]["$edgeHub"]["properties.desired"]["schemaVersion"] = "1.0"
    assert codes(document) == {"ROUTE_OBJECT_VERSION"}


@pytest.mark.parametrize(
    "options",
    [
        {"HostConfig": {"Privileged": True}},
        {"hostconfig": {"privileged": True}},
        {"HostConfig": {"Binds": ["/:/host"]}},
        {"HostConfig": {"Binds": ["/var/run/docker.sock:/var/run/docker.sock"]}},
        {"HostConfig": {"Binds": ["C:\\data:/data"]}},
        {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]}},
        {"HostConfig": {"Mounts": [{"Type": "volume", "Source": "/etc", "Target": "/x"}]}},
        {"HostConfig": {"NetworkMode": "host"}},
        {"HostConfig": {"NetworkMode": "Host"}},
        {"HostConfig": {"NetworkMode": "container:edgeHub"}},
        {"NetworkingConfig": {"EndpointsConfig": {"host": {}}}},
        {"HostConfig": {"PidMode": "host"}},
        {"HostConfig": {"IpcMode": "host"}},
        {"HostConfig": {"CapAdd": ["SYS_ADMIN"]}},
        {"HostConfig": {"Devices": [{"PathOnHost": "/dev/mem"}]}},
        {"HostConfig": {"DeviceCgroupRules": ["a *:* rwm"]}},
        {"HostConfig": {"UsernsMode": "host"}},
        {"HostConfig": {"SecurityOpt": ["seccomp=unconfined"]}},
        {"HostConfig": {"VolumesFrom": ["edgeAgent"]}},
        {"HostConfig": {"Runtime": "crun"}},
        {"HostConfig": {"OptionOfTomorrow": 1}},
        {"OptionOfTomorrow": 1},
    ],
    ids=str,
)
def test_an_option_that_leaves_the_box_is_outside_the_fence(options: object) -> None:
    text = json.dumps(options)
    half = len(text) // 2
    settings = {"image": PINNED, "createOptions": text[:half], "createOptions01": text[half:]}
    document = changed(f"{MODULE}/settings", settings)
    assert codes(document) == set()
    assert codes(document, "policy") == {"HOST_OPTION"}


def test_options_of_a_share_a_port_and_a_gpu_stay_inside_the_fence() -> None:
    host = {
        "Mounts": [{"Type": "volume", "Source": "flights", "Target": "/share"}],
        "Binds": ["data:/data:ro"],
        "PortBindings": {"8080/tcp": [{"HostPort": "8080"}]},
        "DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}],
        "Runtime": "nvidia",
        "Memory": 512_000_000,
        "SecurityOpt": ["no-new-privileges"],
        "NetworkMode": "azure-iot-edge",
        "Devices": [],
        "Privileged": False,
    }
    text = json.dumps({"Env": ["NVIDIA_VISIBLE_DEVICES=all"], "HostConfig": host})
    assert found(changed(f"{MODULE}/settings/createOptions", text)) == []


DIGEST = "sha256:" + "5" * 64


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (f"contoso.azurecr.io/x@{DIGEST}", None),
        (f"evil.io/x@{DIGEST}", "IMAGE_REGISTRY"),
        (f"contoso.azurecr.io.evil.io/x@{DIGEST}", "IMAGE_REGISTRY"),
        (f"evil.io/contoso.azurecr.io/x@{DIGEST}", "IMAGE_REGISTRY"),
        (f"x@{DIGEST}", "IMAGE_REGISTRY"),
        ("contoso.azurecr.io/x:latest", "IMAGE_DIGEST"),
        ("contoso.azurecr.io/x@sha256:zz", "IMAGE_DIGEST"),
        (f"contoso.azurecr.io/x@{DIGEST[:-1]}", "IMAGE_DIGEST"),
    ],
)
def test_images_come_from_an_allowed_registry_and_by_digest(image: str, code: str | None) -> None:
    document = changed(f"{MODULE}/settings/image", image)
    assert {one.code for one in found(document, "contoso.azurecr.io")} == ({code} if code else set())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{MODULE}/env", {"API_KEY": {"value": "5f2a"}}),
        (f"{MODULE}/env", {"DB": {"value": "Server=x;Password=hunter2;"}}),
        (f"{MODULE}/settings/createOptions", '{"Env":["SA_PASSWORD=hunter2"]}'),
        (
            f"{MODULE}/settings/createOptions",
            '{"Env":["C=HostName=h;SharedAccessKey=c2VjcmV0"]}',
        ),
        (
            "A/runtime/settings",
            {"registryCredentials": {"r": {"address": "a.io", "username": "u", "password": "hunter2"}}},
        ),
        ("modulesContent/filter", {"properties.desired": {"url": "https://a/b?sv=1&sig=0123456789"}}),
        ("modulesContent/filter", {"properties.desired": {"pem": "-----BEGIN PRIVATE KEY-----"}}),
    ],
)
def test_a_secret_in_clear_is_outside_the_fence_and_is_not_repeated(path: str, value: object) -> None:
    secrets = [one for one in found(changed(path, value)) if one.severity == "policy"]
    assert [one.code for one in secrets] == ["SECRET"]
    assert not any(word in secrets[0].reason for word in ("hunter2", "5f2a", "c2VjcmV0", "0123456789"))


def test_what_an_option_outside_the_fence_holds_is_not_repeated() -> None:
    document = changed(
        f"{MODULE}/settings/createOptions", '{"HostConfig":{"Env":["TOKEN=hunter2"],"Devices":["hunter2"]}}'
    )
    assert "hunter2" not in repr(found(document))


def test_more_than_twenty_modules_are_outside_the_fence() -> None:
    assert codes(changed("A/modules", {f"m{n}": module() for n in range(21)}), "policy") == {"MODULE_MANY"}


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("H/routes/up", "FROM /messages/modules/gone/* INTO $upstream", "ROUTE_MODULE"),
        ("H/routes/up", 'FROM /* INTO BrokeredEndpoint("/modules/gone/inputs/i")', "ROUTE_MODULE"),
        ("H/routes/up", "FROM /message/* INTO $upstream", "ROUTE_SOURCE"),
        ("modulesContent/gone", {"properties.desired": {}}, "TWIN_MODULE"),
        (f"{MODULE}/restartPolicy", ..., "MISSING_DEFAULT"),
        (f"{MODULE}/status", "Running", "LETTER_CASE"),
        (f"{MODULE}/restartpolicies", "always", "UNKNOWN_KEY"),
        (f"{MODULE}/env", {"_comment_LEVEL": "why"}, "UNKNOWN_KEY"),
        (f"{MODULE}/settings/createOptions", {"Labels": {"a.b": "c"}}, "CREATE_OPTIONS_OBJECT"),
        (f"{MODULE}/settings/createOptions", '{"Env":["A=' + "x" * 600 + '"]}', "CREATE_OPTIONS_LONG"),
        (f"{MODULE}/settings/createOptions", "{'Env': ['A=b',]}", "CREATE_OPTIONS_LENIENT"),
        ("A/schemaVersion", "1.2", "SCHEMA_VERSION_HUB_ONLY"),
        ("A/modules", ..., "MISSING_DEFAULT"),
    ],
)
def test_what_is_legal_and_looks_like_a_slip_is_a_warning(path: str, value: object, code: str) -> None:
    assert codes(changed(path, value)) == set()
    assert code in codes(changed(path, value), "warning")


def test_a_value_that_is_filled_in_later_is_not_judged() -> None:
    document = changed(MODULE, {"type": "docker", "status": "${STATUS}", "restartPolicy": "$POLICY", "settings": {}})
    module = document["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"]["filter"]
    module |= {"startupOrder": "${ORDER}", "env": "{{env}}", "settings": {"image": "${ACR}/filter:1"}}
    module["settings"]["createOptions"] = "${OPTIONS}"
    assert found(document) == []


def test_a_broken_template_is_still_broken() -> None:
    document = changed(f"{MODULE}/settings/image", "${MODULES.filter}")
    document["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"]["filter"]["status"] = "started"
    assert codes(document) == {"MODULE_STATUS"}


def test_every_rule_has_a_fix_and_a_severity() -> None:
    assert all(rule.fix and rule.severity in ("error", "policy", "warning") for rule in RULES.values())


def test_errors_come_before_policies_and_warnings() -> None:
    document = changed(f"{MODULE}/settings", {"image": "x:1", "createOptions": "[", "other": 1})
    assert [one.severity for one in found(document)] == ["error", "policy", "warning"]


def test_sound_manifests_without_liberties_pass_the_published_schema_too() -> None:
    deployment = schema("azure-iot-edge-deployment-2.0")
    assert list(deployment.iter_errors(base())) == []
    broken = [name for name, (path, value, _) in BROKEN.items() if deployment.is_valid(changed(path, value))]
    assert "a bad status" not in broken
    assert "a gap between chunks" in broken  # what the schema cannot see


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["image", "createOptions", "createOptions01", "env", "route", "x.y"]), inner)
    ),
    max_leaves=8,
)
PLACES = ("modulesContent", "A/modules", MODULE, f"{MODULE}/settings", f"{MODULE}/env", "H/routes", "A/runtime", "H/x")


@given(st.sampled_from(PLACES), VALUES)
def test_nothing_in_a_manifest_breaks_the_check(path: str, value: object) -> None:
    assert all(one.code in RULES for one in found(changed(path, value)))
