"""What a benchmark says at its end."""


class Verdict:
    """Collects targets and whether they were met."""

    def __init__(self) -> None:
        self._missed = 0

    def at_least(self, what: str, value: float, target: float) -> None:
        """The value must reach the target."""
        self._say(f"{what}: {value:.3g}, at least {target:.3g} wanted", met=value >= target)

    def below(self, what: str, value: float, target: float) -> None:
        """The value must stay below the target."""
        self._say(f"{what}: {value:.3g}, less than {target:.3g} wanted", met=value < target)

    def end(self) -> int:
        """The exit code: 1 when a target was missed."""
        return 1 if self._missed else 0

    def _say(self, text: str, *, met: bool) -> None:
        self._missed += not met
        print(f"{'met   ' if met else 'MISSED'}  {text}")
