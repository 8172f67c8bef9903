"""What was tried and how it ended: counts, and whatever should not have happened."""

import collections
import dataclasses
import json
import platform
import subprocess
from pathlib import Path

EXACT = "exact"
ERROR = "one clear error"
#: How a fault may end; anything else is a failure.
OUTCOMES = (EXACT, ERROR)


@dataclasses.dataclass
class Report:
    """Counts by fault and outcome, and the failures in words."""

    counts: dict = dataclasses.field(
        default_factory=lambda: collections.defaultdict(collections.Counter)
    )
    failures: list = dataclasses.field(default_factory=list)
    notes: dict = dataclasses.field(default_factory=dict)

    def add(self, fault, outcome, detail=""):
        """Counts one fault; `outcome` is one of `OUTCOMES` or says what went wrong."""
        if outcome in OUTCOMES:
            self.counts[fault][outcome] += 1
        else:
            self.counts[fault]["failed"] += 1
            self.failures.append(f"{fault}{detail and f' ({detail})'}: {outcome}")

    def add_planted(self, bug, found):
        """Counts a planted bug; one that was not found is a failure of the harness."""
        self.notes.setdefault("planted bugs found", []).append(bug)
        if not found:
            self.notes["planted bugs found"].pop()
            self.failures.append(f"the planted bug {bug!r} was not found")

    def table(self):
        """Returns the counts as a table in Markdown."""
        columns = ("tried", *OUTCOMES, "failed")
        rows = [("fault", *columns), ("---", *("--:" for _ in columns))]
        for fault, outcomes in self.counts.items():
            tried = sum(outcomes.values())
            values = (tried, *(outcomes[name] for name in (*OUTCOMES, "failed")))
            rows.append((fault, *(f"{value:,}" for value in values)))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def write(self, path):
        """Writes all of it as JSON, with what it was seen with."""
        values = {
            "counts": {fault: dict(counts) for fault, counts in self.counts.items()},
            "failures": self.failures,
            "notes": self.notes,
            "versions": _versions(),
        }
        Path(path).write_text(json.dumps(values, indent=1) + "\n")


def _versions():
    import jax
    import orbax.checkpoint

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    )
    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "orbax": orbax.checkpoint.__version__,
        "commit": commit.stdout.strip(),
    }
