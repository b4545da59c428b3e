"""The comparison of the rate that is found with a fixed grid."""

from tools.rates import Arm, report

FOUND: dict[tuple[Arm, int], tuple[float, float]] = {
    ("auto", 7): (99.0, 0.2), (0.1, 7): (98.8, 0.1), (0.4, 7): (98.6, 0.4),
    ("auto", 8): (99.2, 0.3), (0.1, 8): (99.4, 0.1), (0.4, 8): (98.0, 0.4),
}


def test_the_found_rate_is_paired_with_the_best_fixed_one():
    told = report(["auto", 0.1, 0.4], FOUND, [7, 8]).splitlines()
    assert told[1].split() == ["auto", "99.100", "0.141", "99.00", "99.20"]
    assert told[2].split() == ["0.1", "99.100", "0.424", "98.80", "99.40"]
    assert told[4] == "auto's peak rates 0.200 0.300: max/min 1.50"
    # Differences 0.2 and -0.2: mean 0, SD 0.283, Student's t for one degree of freedom 12.706.
    assert told[5] == ("auto minus the best fixed rate, 0.1: +0.000 points, 95 % interval -2.541 to +2.541, "
                       "n = 2 paired seeds")
