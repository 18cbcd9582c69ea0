"""Energy is read from powercap's files; here such files are written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.store.run.energy import Spent, energy, measured


def zone(folder: Path, name: str, count: int, limit: int = 1_000_000_000) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{count}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{limit}\n")


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        zone(tmp_path, name, 5_000_000)
    spent = Spent()
    with measured(spent, tmp_path):
        zone(tmp_path, "intel-rapl:0", 8_000_000)
        zone(tmp_path, "intel-rapl:1", 6_500_000)
        zone(tmp_path, "intel-rapl:0:0", 999_000_000)
    assert spent.joules == 4.5
    assert spent.seconds > 0


def test_a_counter_that_has_turned_over(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", 9_000_000, 9_999_999)
    spent = Spent()
    with measured(spent, tmp_path):
        zone(tmp_path, "intel-rapl:0", 2_000_000, 9_999_999)
    assert spent.joules == 3.0


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    spent = Spent()
    with pytest.raises(ZeroDivisionError), measured(spent, tmp_path):
        raise ZeroDivisionError
    assert spent.joules is None and spent.seconds > 0
    zone(tmp_path, "intel-rapl:0", 1)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("not a number")
    with measured(spent, tmp_path):
        pass
    assert spent.joules is None


def test_energy_is_measured_or_said_to_be_an_estimate() -> None:
    assert energy(Spent(10.0, 50.0, 8.0), watts=10) == (50.0, "measured (RAPL)")
    assert energy(Spent(10.0, None, 8.0), watts=12.5) == (100.0, "estimated (12.5 W per busy core)")
    joules, how = energy(Spent(10.0, None, 8.0, 300.0), watts=10)
    assert (joules, how) == (380.0, "processor estimated (10 W per busy core), card measured (NVML)")
    assert energy(Spent(1.0, 2.0, 1.0, 3.0), watts=1) == (5.0, "measured (RAPL, NVML)")


def test_processor_time_is_counted() -> None:
    spent = Spent()
    with measured(spent):
        sum(i * i for i in range(2_000_000))
    assert 0 < spent.processor_seconds
