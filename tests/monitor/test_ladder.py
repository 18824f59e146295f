"""The ladder, driven by a fake clock."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from cleaning_service_monitor.ladder import (
    DOCKER,
    HOUR,
    INGRESS,
    SETTLED,
    Action,
    Cure,
    Health,
    Ladder,
    Policy,
    Verdict,
)
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ("redis", "api", "proxy")
POLICY = Policy()
LOOK = 5.0  # seconds between looks


@dataclass
class World:
    """Components with a health each, a ladder that looks at them, and a clock."""

    ladder: Ladder = field(default_factory=lambda: Ladder(NAMES, POLICY))
    now: float = 1_000_000.0
    health: dict[str, Health] = field(default_factory=lambda: dict.fromkeys((DOCKER, *NAMES), Health.OK))
    cures: list[tuple[float, Cure]] = field(default_factory=list)

    def look(self, seconds: float = LOOK) -> Cure | None:
        """Look once, let any cure end at once, and let time pass."""
        self.ladder.observe(self.now, [Verdict(name, health, "test") for name, health in self.health.items()])
        cure = self.ladder.decide(self.now)
        if cure:
            self.cures.append((self.now, cure))
            self.ladder.finished(self.now)
        self.now += seconds
        return cure

    def looks(self, seconds: float) -> list[Action]:
        """Look for some time and return what was done."""
        before, end = len(self.cures), self.now + seconds
        while self.now < end:
            self.look()
        return [cure.action for _, cure in self.cures[before:]]


@pytest.mark.parametrize(
    ("health", "looks"), [(Health.SICK, 2), (Health.DOWN, 2), (Health.MISSING, 5), (Health.REFUSING, 8)]
)
def test_a_fault_is_cured_once_it_is_confirmed(health: Health, looks: int) -> None:
    world = World()
    world.health["api"] = health
    assert [world.look() is None for _ in range(looks)] == [True] * (looks - 1) + [False]


def test_a_fault_that_passes_is_not_cured() -> None:
    world = World()
    for health in (Health.SICK, Health.OK, Health.SICK, Health.OK, Health.DOWN, Health.STARTING, Health.OK):
        world.health["api"] = health
        assert world.look() is None


@pytest.mark.parametrize("health", [Health.STARTING, Health.REFUSING])
def test_patience_has_an_end(health: Health) -> None:
    world = World()
    world.health["api"] = health
    world.looks(POLICY.start_grace + 2 * LOOK)
    assert world.cures
    assert world.cures[0][0] - 1_000_000.0 <= POLICY.start_grace


def test_a_fault_that_changes_its_face_is_cured_all_the_same() -> None:
    world = World()
    for _ in range(12):
        world.health["api"] = Health.DOWN if world.health["api"] is Health.STARTING else Health.STARTING
        world.look()
    assert world.cures


def test_degraded_is_for_a_person_not_for_a_cure() -> None:
    world = World()
    world.health["api"] = Health.DEGRADED
    assert world.looks(HOUR) == []
    assert not world.ladder.tracks["api"].person_needed


def test_each_step_that_does_not_help_leads_to_the_next() -> None:
    world = World()
    world.health["api"] = Health.SICK
    steps = world.looks(560)
    assert steps == [Action.RESTART] * 3 + [Action.FULL_RESTART, Action.RESTART_DOCKER]
    assert world.ladder.tracks["api"].person_needed
    assert [cure.attempt for _, cure in world.cures] == [f"{number} of 5" for number in range(1, 6)]
    assert world.looks(2 * POLICY.slow_retry) == [Action.RESTART] * 2
    assert world.cures[-1][1].attempt == "slow retry"


def test_a_crashing_container_is_restarted_with_growing_pauses() -> None:
    world = World()
    world.health["api"] = Health.DOWN
    while len(world.cures) < 4:
        world.look(1)
    moments = [moment for moment, _ in world.cures]
    assert [late - early for early, late in pairwise(moments)] == [5, 10, 20]


def test_stable_time_forgets_earlier_attempts() -> None:
    world = World()
    for _ in range(5):
        world.health["api"] = Health.SICK
        assert world.looks(50) == [Action.RESTART]
        world.health["api"] = Health.OK
        assert world.looks(POLICY.stable_time + 2 * LOOK) == []
        assert world.ladder.tracks["api"].attempts == 0


def test_a_relapse_before_the_stable_time_counts_on() -> None:
    world = World()
    for action in [Action.RESTART] * 3 + [Action.FULL_RESTART]:
        world.health["api"] = Health.SICK
        while not (cure := world.look()):
            pass
        assert cure.action is action
        world.health["api"] = Health.OK
        world.looks(POLICY.stable_time / 2)


def test_a_spent_budget_leads_on_and_then_to_a_person() -> None:
    policy = Policy(restarts_per_hour=2, full_restarts_per_hour=0, docker_restarts_per_hour=0)
    world = World(Ladder(NAMES, policy))
    world.health["api"] = Health.SICK
    assert world.looks(HOUR - 100) == [Action.RESTART] * 2
    assert world.ladder.tracks["api"].person_needed


def test_recovery_ends_the_call_for_a_person_with_the_incident() -> None:
    world = World()
    track = world.ladder.tracks["api"]
    world.health["api"] = Health.SICK
    world.looks(560)
    attempts = track.attempts
    world.health["api"] = Health.OK
    world.looks(SETTLED / 2)
    assert track.person_needed
    world.looks(SETTLED)
    assert (track.person_needed, track.attempts) == (False, attempts), "a relapse goes on where this one ended"


def test_without_docker_only_docker_is_cured() -> None:
    world = World()
    world.health.update({DOCKER: Health.SICK, "api": Health.DOWN})
    world.looks(6 * LOOK)
    assert [(cure.component, cure.action) for _, cure in world.cures] == [(DOCKER, Action.RESTART_DOCKER)]


def test_two_faults_are_cured_one_after_the_other_the_smaller_step_first() -> None:
    world = World()
    world.health["redis"] = Health.SICK
    while len(world.cures) < 3:
        world.look()
    world.health["api"] = Health.SICK
    for _ in range(12):  # paused: looked at, nothing decided
        world.ladder.observe(world.now, [Verdict(name, Health.SICK) for name in ("redis", "api")])
        world.now += LOOK
    world.looks(2 * LOOK)
    assert [(cure.component, cure.action) for _, cure in world.cures[3:]] == [
        ("api", Action.RESTART),
        ("redis", Action.FULL_RESTART),
    ]


def test_a_full_restart_counts_for_all_that_waited_for_it() -> None:
    world = World()
    world.health.update({"redis": Health.SICK, "api": Health.SICK})
    actions = world.looks(400)
    assert actions.count(Action.FULL_RESTART) == 1
    assert world.ladder.tracks["redis"].attempts == world.ladder.tracks["api"].attempts


def test_everything_may_start_anew_after_a_full_restart() -> None:
    world = World()
    world.health["redis"] = Health.SICK
    while not any(cure.action is Action.FULL_RESTART for _, cure in world.cures):
        world.look()
    world.health.update({"redis": Health.OK, "api": Health.SICK, "proxy": Health.SICK})
    assert world.looks(POLICY.start_grace - LOOK) == []


def test_a_fault_after_a_cure_that_helped_needs_no_grace() -> None:
    world = World()
    world.health["api"] = Health.DOWN
    assert world.looks(3 * LOOK) == [Action.RESTART]
    world.health["api"] = Health.OK
    assert world.looks(4 * LOOK) == []
    world.health["api"] = Health.SICK
    assert world.looks(2 * LOOK) == [Action.RESTART]


@pytest.mark.parametrize(("peer", "step"), [(Health.OK, None), (Health.SICK, Action.FULL_RESTART)])
def test_no_step_for_one_replica_takes_down_another_that_serves(peer: Health, step: Action | None) -> None:
    ladder = Ladder(("api", "api_2"), POLICY, peers={"api": ["api_2"], "api_2": ["api"]})
    world = World(ladder, health={DOCKER: Health.OK, "api": Health.SICK, "api_2": Health.OK})
    assert world.looks(170) == [Action.RESTART] * 3
    assert ladder.tracks["api"].person_needed
    world.health["api_2"] = peer
    assert step is None or step in world.looks(60)


def test_nothing_else_is_touched_for_what_is_optional() -> None:
    world = World(Ladder(NAMES, POLICY, optional=["redis"]))
    world.health["redis"] = Health.SICK
    assert world.looks(560) == [Action.RESTART] * 3
    assert world.ladder.tracks["redis"].person_needed


def test_a_full_disk_is_cleaned_up_first_and_then_a_persons_matter() -> None:
    world = World(Ladder(NAMES, POLICY, host=["disk", "memory"]))
    world.health.update({"disk": Health.SICK, "memory": Health.OK, "api": Health.SICK})
    actions = world.looks(30)
    assert actions[0] is Action.CLEAN_UP
    assert Action.RESTART in actions
    world.looks(60)
    assert world.ladder.tracks["disk"].person_needed


def test_what_no_restart_can_change_gets_none() -> None:
    """A missing database is a person's matter; then it is root's, and is given away: a restart is never tried."""
    world = World()
    world.health["api"] = Health.BLOCKED
    world.look()
    assert world.ladder.confirmed("api", world.now)
    assert not world.ladder.tracks["api"].person_needed
    assert world.looks(10 * 60) == []
    assert world.ladder.tracks["api"].person_needed
    world.health["api"] = Health.FORBIDDEN
    cure = world.look()
    assert cure
    assert cure.action is Action.MEND_OWNERS
    world.looks(60 * 60)
    assert {cure.action for _, cure in world.cures} == {Action.MEND_OWNERS}


def test_a_reboot_is_the_last_step_where_it_is_allowed_and_once_a_day() -> None:
    world = World(Ladder(NAMES, Policy(reboots_per_day=1)))
    world.health[DOCKER] = Health.SICK
    actions = world.looks(6 * HOUR)
    assert actions[:4] == [Action.RESTART_DOCKER] * 3 + [Action.REBOOT]
    assert actions.count(Action.REBOOT) == 1
    rebooted = next(at for at, cure in world.cures if cure.action is Action.REBOOT)
    for hours, reboots in ((22, 0), (25, 1)):
        world.health[DOCKER] = Health.OK
        world.looks(POLICY.stable_time + SETTLED)
        world.health[DOCKER] = Health.SICK
        world.now = rebooted + hours * HOUR
        assert world.looks(HOUR).count(Action.REBOOT) == reboots, hours


def test_jitter_moves_the_next_attempt() -> None:
    waits = []
    for factor in (0.8, 1.2):
        world = World(Ladder(NAMES, POLICY, jitter=lambda factor=factor: factor))  # type: ignore[misc]
        world.health["api"] = Health.DOWN
        while len(world.cures) < 4:
            world.look(0.5)
        waits.append(world.cures[3][0] - world.cures[2][0])
    assert waits == [16.0, 24.0]


def test_after_a_maintenance_findings_are_confirmed_anew() -> None:
    world = World()
    world.health["api"] = Health.STARTING
    for _ in range(30):  # paused: looked at, nothing decided
        world.ladder.observe(world.now, [Verdict("api", Health.STARTING)])
        world.now += LOOK
    world.ladder.reconsider(world.now)
    assert world.looks(POLICY.start_grace - LOOK) == []
    assert world.looks(2 * LOOK) == [Action.RESTART]


def test_changes_are_told_once_with_the_length_of_the_incident() -> None:
    ladder = Ladder(NAMES, POLICY)
    assert ladder.observe(0, [Verdict("api", Health.OK)]) == []
    (fell,) = ladder.observe(5, [Verdict("api", Health.SICK, "no answer")])
    assert (fell.before, fell.after, fell.cause, fell.seconds) == (Health.OK, Health.SICK, "no answer", None)
    assert ladder.observe(10, [Verdict("api", Health.SICK, "still none")]) == []
    (rose,) = ladder.observe(17, [Verdict("api", Health.OK)])
    assert (rose.after, rose.seconds) == (Health.OK, 12)


def test_what_was_spent_survives_a_restart_of_the_monitor() -> None:
    world = World()
    world.health["api"] = Health.SICK
    world.looks(200)
    reborn = Ladder(NAMES, POLICY)
    reborn.restore(world.now, world.ladder.dump())
    assert reborn.dump() == world.ladder.dump()
    assert reborn.tracks["api"].health is Health.OK, "findings are made anew"


def test_a_clock_put_back_does_not_hold_up_cures() -> None:
    world = World()
    world.health["api"] = Health.SICK
    world.looks(60)
    reborn = World(Ladder(NAMES, POLICY), now=500_000.0)
    reborn.ladder.restore(reborn.now, world.ladder.dump())
    reborn.health["api"] = Health.SICK
    assert reborn.looks(60)


@pytest.mark.parametrize(
    "saved", [None, [], {}, {"spent": 3, "tracks": {}}, {"spent": {}, "tracks": {"api": {"attempts": "x"}}}]
)
def test_a_damaged_memory_is_refused_and_changes_nothing(saved: object) -> None:
    ladder = Ladder(NAMES, POLICY)
    before = ladder.dump()
    with pytest.raises(ValueError, match="not readable"):
        ladder.restore(0, saved)
    assert ladder.dump() == before


def test_finished_without_a_cure_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        Ladder(NAMES, POLICY).finished(0)


budgets = st.builds(
    Policy,
    attempts_before_full_restart=st.integers(1, 4),
    restarts_per_hour=st.integers(1, 6),
    full_restarts_per_hour=st.integers(0, 3),
    docker_restarts_per_hour=st.integers(0, 3),
    start_grace=st.sampled_from([1.0, 10.0, 45.0]),
    stable_time=st.sampled_from([10.0, 120.0]),
    backoff=st.sampled_from([0.0, 5.0]),
    slow_retry=st.sampled_from([60.0, 600.0]),
)
steps = st.tuples(
    st.sampled_from([DOCKER, *NAMES]),
    st.sampled_from(list(Health)),
    st.floats(0, 120),
    st.floats(0, 100),
    st.booleans(),
)


def _over_budget(moments: Iterable[float], budget: int) -> bool:
    ordered = sorted(moments)
    return any(late - early < HOUR for early, late in zip(ordered, ordered[budget:], strict=False))


@given(policy=budgets, script=st.lists(steps, max_size=150))
def test_never_two_cures_at_once_and_never_more_than_the_budget(
    policy: Policy, script: list[tuple[str, Health, float, float, bool]]
) -> None:
    ladder, now = Ladder(NAMES, policy), 0.0
    health = dict.fromkeys((DOCKER, *NAMES), Health.OK)
    ended: list[tuple[float, Cure]] = []
    for name, new, wait, duration, reborn in script:
        health[name] = new
        if reborn:
            memory = ladder.dump()
            ladder = Ladder(NAMES, policy)
            ladder.restore(now, memory)
        for _ in range(4):
            ladder.observe(now, [Verdict(component, state) for component, state in health.items()])
            if cure := ladder.decide(now):
                assert ladder.decide(now) is None, "a second cure while the first is in progress"
                now += duration
                assert ladder.decide(now) is None
                ladder.finished(now)
                ended.append((now, cure))
            now += LOOK
        now += wait
    for name in NAMES:
        restarts = [end for end, cure in ended if cure.action is Action.RESTART and cure.component == name]
        assert not _over_budget(restarts, policy.restarts_per_hour)
    for action, budget in (
        (Action.FULL_RESTART, policy.full_restarts_per_hour),
        (Action.RESTART_DOCKER, policy.docker_restarts_per_hour),
    ):
        assert not _over_budget([end for end, cure in ended if cure.action is action], budget)


faults = st.dictionaries(
    st.sampled_from([DOCKER, *NAMES]),
    st.tuples(
        st.sampled_from([Health.STARTING, Health.REFUSING, Health.SICK, Health.DOWN, Health.MISSING]),
        st.sampled_from([*Action, None]),
    ),
)


@settings(deadline=None)
@given(policy=budgets, broken=faults)
def test_every_fault_is_resolved_or_a_person_is_asked_for(
    policy: Policy, broken: dict[str, tuple[Health, Action | None]]
) -> None:
    world = World(Ladder(NAMES, policy))
    # Components are not judged while Docker is silent; with Docker beyond cure, a person is asked for because of it.
    docker_lost = DOCKER in broken
    for name, (health, _) in broken.items():
        world.health[name] = health
    end = world.now + 3 * HOUR
    while world.now < end:
        cure = world.look()
        for name, (_, remedy) in broken.items():
            if cure and cure.action is remedy and (name == cure.component or remedy is not Action.RESTART):
                world.health[name] = Health.OK
    for name in (DOCKER, *NAMES):
        track = world.ladder.tracks[name]
        assert track.health.well or track.person_needed or (docker_lost and world.ladder.tracks[DOCKER].person_needed)


def _with_ingress() -> World:
    names = ("redis", "api", "api_2", "proxy", INGRESS)
    requires = {INGRESS: [["proxy"], ["api", "api_2"]]}
    world = World(Ladder(names, POLICY, requires=requires, peers={"api": ["api_2"], "api_2": ["api"]}))
    world.health = dict.fromkeys((DOCKER, *names), Health.OK)
    return world


def test_docker_is_restarted_for_a_way_in_that_is_closed_then_a_person_is_asked_for() -> None:
    world = _with_ingress()
    world.health[INGRESS] = Health.SICK
    assert [world.look() is None for _ in range(3)] == [True, True, False]
    assert world.looks(HOUR / 4) == [Action.RESTART_DOCKER] * 2
    assert world.ladder.tracks[INGRESS].person_needed
    assert world.looks(HOUR * 2 / 3) == [], "the budget of an hour is spent"


@pytest.mark.parametrize("unwell", [["proxy"], ["api", "api_2"]])
@pytest.mark.parametrize("health", [Health.SICK, Health.MISSING, Health.STARTING])
def test_a_way_in_is_not_judged_while_those_behind_it_are_unwell(unwell: list[str], health: Health) -> None:
    world = _with_ingress()
    world.health |= dict.fromkeys([INGRESS, *unwell], health)
    world.looks(100)
    assert {cure.component for _, cure in world.cures} <= set(unwell)
    assert world.ladder.tracks[INGRESS].health is Health.OK


def test_docker_is_not_restarted_while_a_smaller_cure_is_due() -> None:
    world = _with_ingress()
    world.health[INGRESS] = Health.SICK
    world.look()
    world.look()
    world.health["proxy"] = Health.DOWN
    actions = world.looks(20)
    assert actions
    assert set(actions) == {Action.RESTART}
    world.health["proxy"] = Health.OK
    assert world.looks(20)[:1] == [Action.RESTART_DOCKER]


def test_one_replica_that_serves_lets_the_way_in_be_judged() -> None:
    world = _with_ingress()
    world.health |= {INGRESS: Health.SICK, "api": Health.MISSING}
    assert Action.RESTART_DOCKER in world.looks(30)


@pytest.mark.parametrize("health", [Health.SICK, Health.DOWN, Health.MISSING, Health.REFUSING, Health.STARTING])
def test_what_a_person_restarts_is_left_alone_and_judged_afterwards(health: Health) -> None:
    ladder, now = Ladder(NAMES, POLICY), 1_000_000.0
    for _ in range(30):
        ladder.observe(now, [Verdict("api", health, "test")], ["api"])
        assert not ladder.confirmed("api", now)
        assert ladder.decide(now) is None
        now += LOOK
    looks = 0
    while ladder.decide(now) is None:
        ladder.observe(now, [Verdict("api", health, "test")])
        looks, now = looks + 1, now + LOOK
    assert looks <= 10
