"""References: what each subtracts, and that another one is added by registering it."""

from __future__ import annotations

import numpy as np
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
    )


def read_through(kind, names, data, positions=None):
    recording = Reader.of_array(data, rate=RATE, names=names)
    prepared = neural.rereference([recording], shaft_electrodes(names, positions), kind)
    return prepared, prepared.recordings[0].read()


def test_bipolar_pairs_are_consecutive_contacts_of_one_shaft_at_their_midpoint():
    names = ["LA1", "LA2", "LA4", "LA5", "B1", "B2", "C7"]
    places = np.arange(21.0).reshape(7, 3)
    data = np.random.default_rng(0).standard_normal((300, 7))
    prepared, pairs = read_through("bipolar", names, data, places)
    assert prepared.montage.names == ("LA1-LA2", "LA4-LA5", "B1-B2")
    assert np.allclose(pairs, data[:, [0, 2, 4]] - data[:, [1, 3, 5]])
    assert np.allclose(prepared.montage.positions, (places[[0, 2, 4]] + places[[1, 3, 5]]) / 2)


def test_consecutive_contacts_far_apart_are_rows_of_a_grid_and_no_neighbours():
    data = np.random.default_rng(0).standard_normal((300, 4))
    places = [[0, 0, 0], [10, 0, 0], [0, 10, 0], [10, 10, 0]]
    # 10 mm apart within a row; from the end of one row to the start of the next 14.1, then 40.
    prepared, _ = read_through("bipolar", ["G1", "G2", "G3", "G4"], data, places)
    assert prepared.montage.names == ("G1-G2", "G2-G3", "G3-G4")
    places = [[0, 0, 0], [40, 0, 0], [0, 10, 0], [10, 10, 0]]
    prepared, _ = read_through("bipolar", ["G1", "G2", "G3", "G4"], data, places)
    assert prepared.montage.names == ("G3-G4",)


def test_a_laplacian_subtracts_the_mean_of_the_neighbours_that_there_are():
    names = ["A3", "A1", "A2", "A9", "B1"]
    data = np.random.default_rng(0).standard_normal((300, 5))
    prepared, values = read_through("laplacian", names, data)
    assert prepared.montage.names == ("A3", "A1", "A2")
    three, one, two = data[:, 0], data[:, 1], data[:, 2]
    expected = np.stack([three - two, one - two, two - (one + three) / 2], axis=1)
    assert np.allclose(values, expected)


def test_a_common_average_leaves_flat_channels_out():
    data = np.random.default_rng(0).standard_normal((300, 4))
    data[:, 2] = 5.0
    prepared, values = read_through("car", ["A1", "A2", "A3", "A4"], data)
    live = data[:, [0, 1, 3]]
    assert np.allclose(values[:, [0, 1, 3]], live - live.mean(axis=1, keepdims=True))
    assert np.array_equal(values[:, 2], data[:, 2])
    assert list(prepared.montage.flat) == [False, False, True, False]


@pytest.mark.parametrize("kind", ["none", "car", "bipolar", "laplacian"])
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
    with pytest.raises(InputError, match="did you mean 'laplacian'"):
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
