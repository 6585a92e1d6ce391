"""The output of a long run."""

from xml.etree.ElementTree import fromstring

from tests.bench.endurance import SERIES, Minute, picture, table
from tests.bench.generator import Sample
from tests.soak.measures import Sample as Held


def _minute(cpu: float, descriptors: int) -> Minute:
    return Minute(Sample(1000, 100.0, cpu, 5.0, 10.0, 0.2), Held(100, descriptors, 2048))


MINUTES = [_minute(400.0, 60), _minute(800.0, 90), _minute(600.0, 60)]


def test_the_table_has_the_first_last_smallest_and_largest_values() -> None:
    rows = dict(line.strip("|").split("|", 1) for line in table(MINUTES).splitlines()[2:])
    assert rows[" CPU, µs/call "] == " 400.0 | 600.0 | 400.0 | 800.0 "
    assert rows[" descriptors "] == " 60.0 | 60.0 | 60.0 | 90.0 "


def test_the_picture_has_a_line_for_each_series_with_a_point_for_each_minute() -> None:
    svg = fromstring(picture(MINUTES))
    lines = [part.attrib["points"].split() for part in svg if part.tag.endswith("polyline")]
    assert [len(points) for points in lines] == [len(MINUTES)] * len(SERIES)
    heights = [float(point.partition(",")[2]) for point in lines[0]]
    assert heights.index(min(heights)) == 1  # the most is the highest


def test_a_single_minute_has_a_picture() -> None:
    assert "polyline" in picture(MINUTES[:1])
