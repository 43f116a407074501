"""One device, one site, or the world: by hand, by law, and by simulation."""

from math import isfinite, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.drift.fleet import Picture, Watched, discoveries, survey

PATIENCE = 1000.0
EVIDENCE = st.floats(-20, 20) | st.sampled_from([-np.inf, np.inf, np.nan, 0.0, log(PATIENCE)])


def fleet(**evidence: float) -> list[Watched]:
    """Devices by name, with their evidence (no logarithm); the letters before the underscore are the site."""
    return [
        Watched(name, name.partition("_")[0], log(one), "temp", rising=True) for name, one in sorted(evidence.items())
    ]


@st.composite
def fleets(draw: st.DrawFn) -> list[Watched]:
    evidence = draw(st.lists(EVIDENCE, max_size=12))
    sites = draw(st.lists(st.sampled_from(["", "ewr", "jfk", "lga"]), min_size=12, max_size=12))
    features = draw(st.lists(st.sampled_from(["temp", "wind"]), min_size=12, max_size=12))
    return [
        Watched(f"d{number}", site, one, feature, rising=number % 2 == 0)
        for number, (one, site, feature) in enumerate(zip(evidence, sites, features, strict=False))
    ]


def test_five_devices_by_hand() -> None:
    """e-BH with A = 1000 and K = 5 asks for 5000, 2500, 1667, 1250 and 1000; the third is too weak, two are not."""
    seen = survey(fleet(a_1=9000, b_1=2600, c_1=1600, d_1=90, e_1=1), patience=PATIENCE)
    assert seen.devices == ("a_1", "b_1")
    assert seen.scope == "device"
    assert seen.fleet is not None
    assert np.exp(seen.fleet.log_any) == pytest.approx((9000 + 2600 + 1600 + 90 + 1) / 5)
    assert np.exp(seen.fleet.log_most) == pytest.approx((1600 + 90 + 1) / 3)


def test_a_weak_device_counts_among_strong_ones_and_not_alone() -> None:
    """The step-up: 1100 is less than 5000, and as the fifth of five it is enough."""
    assert survey(fleet(a_1=1100, b_1=2, c_1=3, d_1=4, e_1=5), patience=PATIENCE).devices == ()
    together = survey(fleet(a_1=1100, b_1=1200, c_1=1300, d_1=1400, e_1=1500), patience=PATIENCE)
    assert together.devices == ("e_1", "d_1", "c_1", "b_1", "a_1")


def test_one_site_of_three_is_told_from_the_world() -> None:
    site = {"ewr_1": 9e6, "ewr_2": 8e6, "ewr_3": 7e6}
    calm = {f"{name}_{number}": 1.5 for name in ("jfk", "lga") for number in range(4)}
    one = survey(fleet(**site, **calm), patience=PATIENCE)
    assert (one.scope, one.broad, len(one.devices)) == ("site", ("ewr",), 3)
    ewr, jfk, _ = one.sites
    assert (ewr.name, ewr.devices, jfk.devices) == ("ewr", 3, 4)
    assert np.exp(ewr.log_most) == pytest.approx((8e6 + 7e6) / 2)
    world = survey(fleet(**site, **dict.fromkeys(calm, 6e6)), patience=PATIENCE)
    assert (world.scope, world.broad) == ("fleet", ("ewr", "jfk", "lga"))


def test_one_device_with_all_the_evidence_in_the_world_is_one_device() -> None:
    seen = survey(fleet(ewr_1=1e300, ewr_2=1, jfk_1=1, jfk_2=1), patience=PATIENCE)
    assert (seen.scope, seen.devices, seen.broad) == ("device", ("ewr_1",), ())
    assert seen.fleet is not None
    assert seen.fleet.log_any > log(PATIENCE) > seen.fleet.log_most


def test_a_device_with_a_site_to_itself_is_a_device_and_a_fleet_at_one_site_is_a_site() -> None:
    assert survey(fleet(ewr_1=1e9, jfk_1=1, lga_1=1), patience=PATIENCE).scope == "device"
    assert survey(fleet(ewr_1=1e9), patience=PATIENCE).scope == "device"
    assert survey(fleet(ewr_1=1e9, ewr_2=1e9), patience=PATIENCE).scope == "site"
    nowhere = [Watched(name, "", 30.0, "temp", rising=True) for name in "ab"]
    assert survey(nowhere, patience=PATIENCE).scope == "fleet"


def test_what_most_devices_share_is_said() -> None:
    devices = [
        Watched("a", "ewr", 50, "wind", rising=True),
        Watched("b", "jfk", 40, "temp", rising=False),
        Watched("c", "lga", 30, "temp", rising=False),
    ]
    seen = survey(devices, patience=PATIENCE)
    assert (seen.feature, seen.rising, seen.sharing) == ("temp", False, 2)


def test_a_fleet_without_devices_or_without_evidence_is_calm() -> None:
    assert survey([], patience=PATIENCE) == Picture((), "device", None, (), (), "", rising=False, sharing=0)
    assert survey(fleet(a_1=1, b_1=1), patience=PATIENCE).devices == ()


@pytest.mark.parametrize("patience", [1.0, 0.0, -5.0, np.inf, np.nan])
def test_no_patience_is_refused(patience: float) -> None:
    with pytest.raises(ValueError, match="patience"):
        survey(fleet(a_1=5), patience=patience)


def test_a_device_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="told apart"):
        survey(fleet(a_1=5) * 2, patience=PATIENCE)


@settings(max_examples=80)
@given(fleets(), st.randoms(use_true_random=False))
def test_the_order_of_devices_does_not_matter(devices: list[Watched], random: object) -> None:
    shuffled = list(devices)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # a Random
    assert survey(shuffled, patience=PATIENCE) == survey(devices, patience=PATIENCE)


@settings(max_examples=80)
@given(fleets(), st.integers(0, 11), st.floats(0, 30))
def test_more_evidence_of_a_device_takes_no_discovery_back(devices: list[Watched], which: int, more: float) -> None:
    before = survey(devices, patience=PATIENCE)
    risen = [
        Watched(one.device, one.site, one.log_evidence + more * (number == which), one.feature, one.rising)
        for number, one in enumerate(devices)
    ]
    after = survey(risen, patience=PATIENCE)
    assert set(before.devices) <= set(after.devices)
    for one, other in zip(before.sites, after.sites, strict=True):
        assert other.log_any >= one.log_any - 1e-9
        assert other.log_most >= one.log_most - 1e-9


@settings(max_examples=80)
@given(fleets())
def test_everything_is_finite_and_every_device_named_has_evidence_of_its_own(devices: list[Watched]) -> None:
    seen = survey(devices, patience=PATIENCE)
    strong = {one.device for one in devices if one.log_evidence >= log(PATIENCE)}
    assert set(seen.devices) <= strong
    for group in [*seen.sites, *([seen.fleet] if seen.fleet else [])]:
        assert isfinite(group.log_any)
        assert isfinite(group.log_most)
        assert group.log_most <= group.log_any + 1e-9
    assert sum(group.devices for group in seen.sites) == len(devices)


@settings(max_examples=60)
@given(fleets(), st.floats(1.1, 10))
def test_more_patience_names_no_further_device(devices: list[Watched], times: float) -> None:
    longer = survey(devices, patience=PATIENCE * times)
    assert set(longer.devices) <= set(survey(devices, patience=PATIENCE).devices)


@pytest.mark.parametrize("common", [0.0, 0.6, 0.99])
def test_devices_that_depend_on_each_other_are_named_wrongly_no_more_often_than_promised(common: float) -> None:
    """40 devices share a part of their weather; 8 drift. e-values are likelihood ratios of mean 2 against 0."""
    rng = np.random.default_rng(5)
    wrong, found, among, drifting = [], 0, 40, 8
    for _ in range(1500):
        weather = np.sqrt(common) * rng.normal() + np.sqrt(1 - common) * rng.normal(size=among)
        weather[:drifting] += 3
        log_e = 3 * weather - 4.5
        order = np.argsort(-log_e)
        named = order[: discoveries(log_e[order], level=log(10))]
        wrong.append(np.mean(named >= drifting) if len(named) else 0.0)
        found += int((named < drifting).sum())
    assert np.mean(wrong) <= 0.1
    assert found > 0
