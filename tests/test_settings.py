"""A configuration is checked whole, with the nearest known names, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from highgamma import settings
from highgamma.errors import InputError

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "config").glob("**/*.yaml"))


def minimal(**further):
    config = {
        "dataset": {"root": "x"},
        "models": ["mel"],
        "analyses": {"words": {"unit": "word"}},
    }
    return config | further


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if p.name != "models.yaml"], ids=lambda p: p.name
)
def test_every_shipped_configuration_is_valid(path):
    config = settings.checked(yaml.safe_load(path.read_text()))
    settings.cross_checked(config)
    assert settings.embedded_models(config)


def test_defaults_are_the_studys_filter():
    neural = settings.checked(minimal())["neural"]
    assert neural["band"] == [70, 170]
    assert neural["notch"] == [100, 150]
    assert neural["order"] == 4
    assert (neural["window"], neural["shift"]) == (0.05, 0.01)
    assert neural["reference"] == "none"


def test_all_problems_are_named_at_once_with_the_nearest_key():
    bad = minimal(nueral={}, analyses={"words": {"unit": "wrd", "alpah": 1}})
    with pytest.raises(InputError) as caught:
        settings.checked(bad)
    message = str(caught.value)
    assert "'nueral' (did you mean 'neural'?)" in message
    assert "'alpah' (did you mean 'alpha'?)" in message
    assert "analyses.words.unit" in message


def test_references_between_keys_are_checked():
    bad = minimal(
        neural={"band": [170, 70]},
        analyses={
            "a": {"unit": "word", "signal": "betta", "lags": [-0.1, 0.1]},
            "b": {"unit": "frame", "window": [1, 0], "models": ["mle"]},
        },
        signals={"beta": {"band": [13, 35]}},
    )
    with pytest.raises(InputError) as caught:
        settings.cross_checked(settings.checked(bad))
    message = str(caught.value)
    for part in ("neural.band", "did you mean 'beta'", "analyses.a.lags", "analyses.b.window"):
        assert part in message
    assert "did you mean 'mel'" in message


def test_a_named_signal_differs_only_in_what_it_states():
    config = settings.checked(
        minimal(neural={"order": 3}, signals={"beta": {"band": [13, 35]}}),
    )
    beta = settings.signal_settings(config, "beta")
    assert (beta["band"], beta["order"]) == ([13, 35], 3)


def test_a_fit_does_not_depend_on_which_other_models_or_controls_there_are():
    one = settings.checked(minimal())
    more = settings.checked(
        minimal(
            models=["mel", "gpt2"],
            analyses={"words": {"unit": "word", "controls": ["gpt2"], "layers": "last"}},
        ),
    )
    assert settings.fit_settings(one, "words", "mel") == settings.fit_settings(more, "words", "mel")


def test_an_override_concerns_one_model_alone():
    config = settings.checked(
        minimal(
            models=["mel", "gpt2"],
            analyses={"words": {"unit": "word", "overrides": {"mel": {"window": [0, 2]}}}},
        ),
    )
    assert settings.fit_settings(config, "words", "mel")["window"] == [0, 2]
    assert settings.fit_settings(config, "words", "gpt2")["window"] == [0, 1]


def test_the_bands_of_a_banded_ridge_make_one_fit_of_several_models():
    banded = {"unit": "frame", "estimator": "banded-ridge", "bands": ["mel", "gpt2"]}
    config = settings.checked(minimal(analyses={"both": banded}))
    settings.cross_checked(config)
    assert settings.analysis_models(config, "both") == ["mel+gpt2", "frame-nuisances"]
    assert settings.embedded_models(config) == ["frame-nuisances", "gpt2", "mel"]


def test_position_and_nuisances_are_fitted_with_every_model_that_looks_at_its_input():
    def fitted(**analysis):
        whole = {"unit": "frame", "models": ["mel"], **analysis}
        config = settings.checked(minimal(analyses={"a": whole}))
        settings.cross_checked(config)
        return settings.analysis_models(config, "a")

    assert fitted() == ["mel", "frame-nuisances", "position"]
    assert fitted(controls=["position"]) == ["mel", "position", "frame-nuisances"]
    assert fitted(unit="word", estimator="elastic-net") == ["mel", "word-nuisances", "position"]
    assert fitted(position=False) == ["mel", "frame-nuisances"]
    assert fitted(nuisances=[]) == ["mel", "position"]
    assert fitted(nuisances=["voice"]) == ["mel", "frame-nuisances", "position"]
    assert fitted(estimator="mean") == ["mel"]
    banded = {"estimator": "banded-ridge", "bands": ["mel", "gpt2"]}
    assert fitted(**banded) == ["mel+gpt2", "frame-nuisances"]


def test_the_choice_of_nuisances_changes_their_fit_alone():
    def fit(model, **analysis):
        whole = {"unit": "frame", "models": ["mel"], **analysis}
        return settings.fit_settings(settings.checked(minimal(analyses={"a": whole})), "a", model)

    assert fit("frame-nuisances")["groups"] is None
    assert fit("frame-nuisances", nuisances=["voice"])["groups"] == ["voice"]
    assert fit("mel", nuisances=["voice"]) == fit("mel")


def test_a_nuisance_that_there_is_not_is_refused_with_the_nearest_name():
    analyses = {"a": {"unit": "frame", "models": ["mel"], "nuisances": ["vioce", "latency"]}}
    with pytest.raises(InputError, match=r"'vioce'.*did you mean 'voice'") as refused:
        settings.cross_checked(settings.checked(minimal(analyses=analyses)))
    assert "'latency'" in str(refused.value)


def test_position_beside_the_models_leaves_their_fits_as_they_are():
    config = settings.checked(minimal())
    without = settings.checked(
        minimal(analyses={"words": {"unit": "word", "position": False}}),
    )
    one, other = (settings.fit_settings(c, "words", "mel") for c in (config, without))
    assert one == other


def test_a_control_of_a_banded_ridge_is_a_ridge_of_its_own():
    banded = {"unit": "frame", "estimator": "banded-ridge", "bands": ["mel", "gpt2"]}
    config = settings.checked(minimal(analyses={"b": {**banded, "controls": ["mel"]}}))
    assert settings.analysis_models(config, "b") == ["mel+gpt2", "mel", "frame-nuisances"]
    control, joint = (settings.fit_settings(config, "b", m) for m in ("mel", "mel+gpt2"))
    assert (control["estimator"], control["bands"]) == ("ridge", None)
    assert (joint["estimator"], joint["bands"]) == ("banded-ridge", ["mel", "gpt2"])


def test_bands_without_the_banded_ridge_are_refused():
    alone = {"unit": "frame", "bands": ["mel", "gpt2"]}
    with pytest.raises(InputError, match="go together"):
        settings.cross_checked(settings.checked(minimal(analyses={"both": alone})))


def test_the_order_of_keys_is_no_change():
    one = settings.checked(minimal(neural={"order": 3, "edge": 2}))
    other = settings.checked(minimal(neural={"edge": 2, "order": 3}))
    first, second = (settings.signal_settings(c, "high-gamma") for c in (one, other))
    assert list(first.items()) == list(second.items())


def test_every_key_is_described():
    def walk(schema, path):
        for name, part in schema.get("properties", {}).items():
            assert part["description"], f"{path}.{name}"
            for inner in (part, *part.get("oneOf", []), part.get("additionalProperties")):
                if isinstance(inner, dict):
                    walk(inner, f"{path}.{name}")

    walk(settings.schema(), "config")


def leakage(**further):
    return minimal(analyses={"leak": {"preset": "leakage", "unit": "frame", **further}})


def test_the_leakage_preset_is_one_analysis_under_three_splits():
    config = settings.checked(leakage(models=["mel"], lags=[-0.1, 0.1]))
    settings.cross_checked(config)
    assert {name: a["split"] for name, a in config["analyses"].items()} == {
        "leak-shuffled": "shuffled",
        "leak-contiguous": "contiguous",
        "leak-leave-one-word-out": "leave-one-word-out",
    }
    for name, analysis in config["analyses"].items():
        assert settings.analysis_models(config, name) == ["mel", "position"]
        assert analysis["part_of"] == "leak" and analysis["lags"] == [-0.1, 0.1]
        assert (analysis["permutations"], analysis["layers"]) == (0, "last")
    assert settings.timecourse_analyses(config) == []
    assert settings.checked(config) == config


def test_a_preset_refuses_what_it_sets_itself_and_names_that_are_taken():
    config = leakage(split="trial", position=False)
    config["analyses"]["leak-shuffled"] = {"unit": "word"}
    with pytest.raises(InputError) as raised:
        settings.checked(config)
    said = str(raised.value)
    for part in ("analyses.leak.split", "analyses.leak.position", "analyses.leak-shuffled"):
        assert part in said


def test_an_analysis_of_words_has_no_time_course():
    config = settings.checked(
        minimal(timecourse={"analyses": ["words", "framse"], "window": [1, 0]},
                analyses={"words": {"unit": "word"}, "frames": {"unit": "frame"}}),
    )  # fmt: skip
    with pytest.raises(InputError) as raised:
        settings.cross_checked(config)
    said = str(raised.value)
    for part in ("'words' is of words", "did you mean 'frames'", "reversed"):
        assert part in said


def test_what_a_run_is_compared_with_is_a_name_or_a_name_with_other_names():
    assert settings.compared(settings.checked(minimal())) is None
    short = settings.checked(minimal(compare="older"))
    assert settings.compared(short) == {"run": "older", "analyses": {}, "models": {}}
    whole = settings.checked(minimal(compare={"run": "older", "models": {"mel": "fbank"}}))
    assert settings.compared(whole)["models"] == {"mel": "fbank"}


def test_the_published_scores_are_paired_with_models_of_their_analysis():
    paired = {"scores": "table.tsv", "analysis": "words", "models": {"mel": "gpt2"}}
    settings.cross_checked(settings.checked(minimal(published=paired)))
    for change, problem in (
        ({"analysis": "wrods"}, "published.analysis: unknown analysis 'wrods' .*'words'"),
        ({"models": {"mle": "gpt2"}}, "published.models: 'mle' is not a model of words .*'mel'"),
    ):
        config = settings.checked(minimal(published=paired | change))
        with pytest.raises(InputError, match=problem):
            settings.cross_checked(config)


def test_a_participant_that_the_simulation_does_not_describe_is_named():
    simulated = {"noise": {"participants": {"sub-01": {"channels": 5}, "sub-02": {"channels": 5}}}}
    asked = minimal(demo=simulated, dataset={"root": "x", "participants": ["02", "sub-03"]})
    with pytest.raises(
        InputError, match=r"the configuration has one problem:\n  - .*'sub-03' is not described"
    ) as caught:
        settings.cross_checked(settings.checked(asked))
    assert "sub-02' is not" not in str(caught.value)
    filled = settings.checked(minimal(demo=simulated))["demo"]["noise"]
    assert filled["gain_spread"] == 0.2
    assert filled["participants"]["sub-01"] == {"channels": 5, "n_words": 100}


def test_a_configuration_that_is_nested_too_deeply_is_refused():
    nested: list = []
    for _ in range(500):
        nested = [nested]
    with pytest.raises(InputError, match=r"the configuration cannot be read: .*nested too deeply"):
        settings.checked(minimal(signals={"beta": {"band": nested}}))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
def test_a_number_that_nothing_can_be_computed_with_is_refused(number):
    with pytest.raises(InputError, match=r"signals\.beta\.band\.1: "):
        settings.checked(minimal(signals={"beta": {"band": [1, number]}}))
