"""References: what each subtracts, and that another one is added by registering it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from highgamma import neural
from highgamma.errors import InputError
from highgamma.neural.montage import Montage
from highgamma.neural.references import REFERENCES, ReferenceScheme
from highgamma.recording.reader import Reader
from highgamma.sections import schema_of

RATE = 1024.0


def shaft_electrodes(names, positions=None):
    contacts = [int("".join(c for c in n if c.isdigit())) for n in names]
    return neural.Electrodes(
        names=tuple(names),
        regions=(None,) * len(names),
        shafts=tuple("".join(c for c in n if not c.isdigit()) for n in names),
        contacts=tuple(contacts),
        positions=np.array(positions, float)
        if positions is not None
        else np.full((len(names), 3), np.nan),
        spaces=(None,) * len(names),
    )


def read_through(kind, names, data, positions=None, grids=None):
    recording = Reader.of_array(data, rate=RATE, names=names)
    electrodes = shaft_electrodes(names, positions).on_grids(grids or {})
    prepared = neural.rereference([recording], electrodes, kind)
    return prepared, prepared.recordings[0].read()


def test_bipolar_pairs_are_consecutive_contacts_of_one_shaft_at_their_midpoint():
    names = ["LA1", "LA2", "LA4", "LA5", "B1", "B2", "C7"]
    places = np.arange(21.0).reshape(7, 3)
    data = np.random.default_rng(0).standard_normal((300, 7))
    prepared, pairs = read_through("bipolar", names, data, places)
    assert prepared.montage.names == ("LA1-LA2", "LA4-LA5", "B1-B2")
    assert np.allclose(pairs, data[:, [0, 2, 4]] - data[:, [1, 3, 5]])
    assert np.allclose(prepared.montage.positions, (places[[0, 2, 4]] + places[[1, 3, 5]]) / 2)


def grid_names(rows, columns, name="G"):
    return [f"{name}{i + 1}" for i in range(rows * columns)]


def grid_places(rows, columns, spacing, noise=0.0):
    places = [[spacing * c, spacing * r, 0] for r in range(rows) for c in range(columns)]
    return np.array(places) + noise * np.random.default_rng(0).standard_normal((len(places), 3))


def row_pairs(rows, columns, name="G"):
    """Pairs within rows, by counting."""
    return tuple(
        f"{name}{r * columns + c + 1}-{name}{r * columns + c + 2}"
        for r in range(rows)
        for c in range(columns - 1)
    )


@pytest.mark.parametrize(
    ("rows", "columns", "spacing", "noise"),
    [(8, 8, 10, 0.5), (8, 8, 2, 0.1), (4, 5, 3, 0.2), (8, 2, 10, 0.3), (2, 2, 10, 0), (2, 8, 4, 0)],
)
def test_pairs_of_a_grid_never_join_two_rows(rows, columns, spacing, noise):
    names = grid_names(rows, columns)
    places = grid_places(rows, columns, spacing, noise)
    data = np.random.default_rng(0).standard_normal((300, len(names)))
    prepared, values = read_through("bipolar", names, data, places)
    assert prepared.montage.names == row_pairs(rows, columns)
    first = [names.index(name.split("-")[0]) for name in prepared.montage.names]
    assert np.allclose(values, data[:, first] - data[:, [i + 1 for i in first]])


def test_contacts_more_than_15_mm_apart_are_no_neighbours():
    data = np.random.default_rng(0).standard_normal((300, 4))
    places = [[0, 0, 0], [40, 0, 0], [0, 10, 0], [10, 10, 0]]
    prepared, _ = read_through("bipolar", ["G1", "G2", "G3", "G4"], data, places)
    assert prepared.montage.names == ("G3-G4",)


@pytest.mark.parametrize("kind", ["bipolar", "laplacian"])
def test_many_contacts_of_one_name_without_coordinates_are_refused(kind):
    names = grid_names(8, 16, "CH")
    data = np.random.default_rng(0).standard_normal((300, 128))
    with pytest.raises(InputError) as refused:
        read_through(kind, names, data)
    for part in ("128 contacts share the name CH", "electrodes.tsv", "neural.grids", "[8, 16]"):
        assert part in str(refused.value)
    # What the message recommends works.
    prepared, _ = read_through(kind, names, data, grids={"CH": (8, 16)})
    if kind == "bipolar":
        assert prepared.montage.names == row_pairs(8, 16, "CH")
    for other in ("none", "car", "shaft"):
        assert len(read_through(other, names, data)[0].montage) == 128


def test_eighteen_contacts_of_one_name_are_a_shaft():
    names = grid_names(1, 18, "LA")
    data = np.random.default_rng(0).standard_normal((300, 18))
    assert len(read_through("bipolar", names, data)[0].montage) == 17


def test_a_grid_that_is_too_small_for_its_contacts_is_refused():
    names = grid_names(4, 5)
    data = np.random.default_rng(0).standard_normal((300, 20))
    with pytest.raises(InputError, match=r"contact 20, but 4 rows of 4 contacts end at 16"):
        read_through("bipolar", names, data, grids={"G": (4, 4)})


def test_a_laplacian_on_a_grid_subtracts_the_neighbours_in_row_and_column():
    names = grid_names(3, 4)
    data = np.random.default_rng(0).standard_normal((300, 12))
    _, values = read_through("laplacian", names, data, grids={"G": (3, 4)})
    board = data.reshape(300, 3, 4)
    for r in range(3):
        for c in range(4):
            around = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
            around = [board[:, i, j] for i, j in around if 0 <= i < 3 and 0 <= j < 4]
            expected = board[:, r, c] - np.mean(around, axis=0)
            assert np.allclose(values[:, 4 * r + c], expected)


def test_a_shafts_mean_is_that_of_its_contacts_that_are_not_flat():
    names = ["A1", "A2", "A3", "B1", "B2", "C1", "D1", "D2"]
    data = np.random.default_rng(0).standard_normal((300, 8))
    data[:, 2] = data[:, 6] = 5.0
    prepared, values = read_through("shaft", names, data)
    # C has one contact, and D one that is not flat: nothing would be left of them.
    assert prepared.montage.names == ("A1", "A2", "A3", "B1", "B2", "D1")
    a, b = data[:, [0, 1]].mean(axis=1), data[:, [3, 4]].mean(axis=1)
    expected = [data[:, 0] - a, data[:, 1] - a, data[:, 2], data[:, 3] - b, data[:, 4] - b]
    assert np.allclose(values[:, :5], np.stack(expected, axis=1))
    assert list(prepared.montage.flat) == [False, False, True, False, False, True]


def test_the_studys_missing_reference_contact_leaves_a_gap(shared_data):
    from highgamma.recording.electrodes import shaft_and_contact

    folder = shared_data / "bids_metadata/nm000371_swpd/sub-05/ieeg"
    table = pd.read_csv(folder / "sub-05_task-wordProduction_channels.tsv", sep="\t")
    names = [str(name) for name in table["name"][table["type"] == "SEEG"]]
    assert "LH10" not in names
    data = np.random.default_rng(0).standard_normal((50, len(names)))
    prepared, _ = read_through("bipolar", names, data)
    pairs = set(prepared.montage.names)
    assert {"LH8-LH9", "LH11-LH12"} <= pairs
    places = {shaft_and_contact(name) for name in names}
    expected = {f"{s}{c}-{s}{c + 1}" for s, c in places if (s, c + 1) in places}
    assert pairs == expected


def test_a_real_grid_has_eight_rows(shared_data):
    table = pd.read_csv(shared_data / "ieeg_signals/mne_misc/sample_ecog_electrodes.tsv", sep="\t")
    grid = table[table["name"].str.match(r"C\d+$")]
    places = grid[["x", "y", "z"]].to_numpy(float) * 1000
    data = np.random.default_rng(0).standard_normal((50, len(grid)))
    prepared, _ = read_through("bipolar", [str(name) for name in grid["name"]], data, places)
    assert set(prepared.montage.names) == set(row_pairs(8, 8, "C"))


def test_a_laplacian_subtracts_the_mean_of_the_neighbours_that_there_are(caplog):
    names = ["A3", "A1", "A2", "A9", "B1"]
    data = np.random.default_rng(0).standard_normal((300, 5))
    prepared, values = read_through("laplacian", names, data)
    assert prepared.montage.names == ("A3", "A1", "A2")
    three, one, two = data[:, 0], data[:, 1], data[:, 2]
    expected = np.stack([three - two, one - two, two - (one + three) / 2], axis=1)
    assert np.allclose(values, expected)
    assert "2 electrode(s) left out (it needs" in caplog.text


def test_a_common_average_leaves_flat_channels_out():
    data = np.random.default_rng(0).standard_normal((300, 4))
    data[:, 2] = 5.0
    prepared, values = read_through("car", ["A1", "A2", "A3", "A4"], data)
    live = data[:, [0, 1, 3]]
    assert np.allclose(values[:, [0, 1, 3]], live - live.mean(axis=1, keepdims=True))
    assert np.array_equal(values[:, 2], data[:, 2])
    assert list(prepared.montage.flat) == [False, False, True, False]


@pytest.mark.parametrize("kind", ["none", "car", "bipolar", "laplacian", "shaft"])
def test_the_line_of_a_montage_is_the_line_of_its_channels(kind):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((3000, 4)) * 3 + 400 + 0.01 * np.arange(3000)[:, None]
    prepared, values = read_through(kind, ["A1", "A2", "A3", "A4"], data)
    slope, value = np.polyfit(np.arange(len(values)), values, 1)
    assert np.allclose(prepared.trends[0], [value, slope], rtol=1e-6, atol=1e-6)


def test_a_reference_without_neighbours_is_refused():
    with pytest.raises(InputError, match="leaves no electrode"):
        read_through("bipolar", ["A1", "B1", "C1"], np.random.default_rng(0).random((300, 3)))


def test_an_unknown_reference_is_answered_with_the_nearest_name():
    with pytest.raises(InputError, match="unknown reference 'laplace'"):
        read_through("laplace", ["A1", "A2"], np.random.default_rng(0).random((300, 2)))


def test_a_registered_scheme_is_a_reference_like_the_others():
    def minus_first(electrodes, flat):
        return Montage(
            names=electrodes.names[1:],
            sources=tuple(((i, 1.0), (0, -1.0)) for i in range(1, len(electrodes))),
            positions=electrodes.positions[1:],
            flat=flat[1:],
        )

    scheme = ReferenceScheme(
        name="first", description="minus the first", needs="two electrodes", montage=minus_first
    )
    data = np.random.default_rng(0).standard_normal((300, 3))
    with REFERENCES.extended(scheme):
        prepared, values = read_through("first", ["A1", "A2", "B1"], data)
        with pytest.raises(InputError, match="expected: two electrodes"):
            read_through("first", ["A1"], data[:, :1])
        allowed = schema_of(neural.NeuralSettings)["properties"]["reference"]
        assert "first" in allowed["enum"]
        assert "`first`: minus the first" in allowed["description"]
        assert neural.neural_settings({"reference": "first"}).reference == "first"
    assert prepared.montage.names == ("A2", "B1")
    assert np.allclose(values, data[:, 1:] - data[:, :1])
