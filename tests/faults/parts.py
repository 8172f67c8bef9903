"""The parts of the harness in order, each with the runs that it breaks."""

from tests.faults import damage, disk, kills, planted, together
from tests.faults.points import At
from tests.faults.report import Report
from tests.faults.small_run import look, prepare


class Workshop:
    """Where the parts work: the scratch folder, and runs made once for all of them."""

    def __init__(self, arguments, scratch, report):
        self.arguments, self.scratch, self.report = arguments, scratch, report
        self._whole, self._folders = {}, 0

    def tell(self):
        """Writes what has been counted so far."""
        if self.arguments.json is not None:
            self.report.write(self.arguments.json)

    def new_folder(self, name):
        """Returns the path of a run that does not exist yet."""
        self._folders += 1
        return self.scratch / f"{name}_{self._folders}"

    def stopped(self):
        """Returns a run of 30 steps killed at step 18; to be copied or left as is.

        It has checkpoints of 15 and 16, the latter amid a window of the training log,
        and records of 18, made before the save that was its death.
        """
        folder = self.scratch / "stopped"
        if not folder.exists():
            at = At("making the folder of a save", 21)  # twice a save, the eleventh
            log = folder.with_suffix(".saves")
            killed = kills.kill_at(folder, 30, at, log)
            good = look(folder)[0][-2:]
            if killed.wrong or good != [15, 16]:
                raise RuntimeError(killed.wrong or f"the good steps are {good}")
        return folder

    def whole(self, steps):
        """Returns the run of so many steps that was never broken."""
        if steps not in self._whole:
            folder = self.scratch / f"whole_{steps}"
            self._whole[steps] = kills.reference(folder, steps)
        return self._whole[steps]


def random_kills(shop):
    count = shop.arguments.kills
    steps = max(30, count * shop.arguments.steps_per_kill)
    folder = shop.scratch / "killed"
    whole, seed = shop.whole(steps), shop.arguments.seed
    kills.kill_often(shop.report, folder, whole, count, seed, tell=shop.tell)


PARTS = {
    "kills": random_kills,
    "files": damage.break_files,
    "disks": disk.break_disks,
    "signals": together.run_signals,
    "two": together.run_together,
    "data": together.run_data,
    "planted": planted.plant_all,
    "planted_resuming": planted.plant_resuming,
}
#: Those that another holds.
_WITHIN = {"planted_resuming"}


def run_parts(arguments, scratch):
    """Runs the parts asked for and returns the report."""
    unknown = set(arguments.parts) - PARTS.keys()
    if unknown:
        raise SystemExit(f"The parts are {', '.join(PARTS)}; got {sorted(unknown)}.")
    prepare()
    report = Report()
    shop = Workshop(arguments, scratch, report)
    for name, part in PARTS.items():
        if name in (arguments.parts or PARTS.keys() - _WITHIN):
            part(shop)
            shop.tell()
    return report
