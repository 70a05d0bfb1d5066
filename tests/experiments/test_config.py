import json
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import tomli_w

from experiments import config, tables

LENET5 = """
experiment = "lenet5"
[data]
name = "digits"
[optimizer]
name = "sgd"
learning_rate = 0.1
[train]
epochs = 3
"""
CONFIGS = sorted(Path("configs").glob("*.toml"))

MISTAKES = {
    "unknown_key": (
        ["optimizer.learing_rate=0.1"],
        "override 'optimizer.learing_rate=0.1': optimizer.learing_rate: unknown key; "
        "did you mean 'learning_rate'?",
    ),
    "unlike_any_key": (
        ["train.x=1"],
        "override 'train.x=1': train.x: unknown key "
        "(one of: average_decay, epochs, label_smoothing, log_every)",
    ),
    "unknown_key_taken_out": (
        ["train.epocs=none"],
        "override 'train.epocs=none': train.epocs: unknown key; did you mean 'epochs'?",
    ),
    "unknown_key_of_a_union_taken_out": (
        ["optimizer.betas=none"],
        "override 'optimizer.betas=none': optimizer.betas: unknown key (one of: clip_norm, "
        "learning_rate, momentum, name, nesterov, schedule, warmup, weight_decay)",
    ),
    "unknown_table_taken_out": (
        ["models=none"],
        "override 'models=none': models: unknown key; did you mean 'model'?",
    ),
    "key_of_an_unknown_table_taken_out": (
        ["models.hidden=none"],
        "override 'models.hidden=none': models: unknown key; did you mean 'model'?",
    ),
    "key_of_an_unknown_table": (
        ["models.hidden=[84]"],
        "override 'models.hidden=[84]': models: unknown key; did you mean 'model'?",
    ),
    "unknown_key_below_a_table_taken_out": (
        ["model=none", "model.hiden=none"],
        "override 'model.hiden=none': model.hiden: unknown key; did you mean 'hidden'?",
    ),
    "given_twice": (
        ["train.epochs=x", "train={epochs=0}"],
        "override 'train={epochs=0}': train.epochs: "
        "input should be greater than or equal to 1, got 0",
    ),
    "neither_word_nor_number": (
        ["devices=0"],
        "override 'devices=0': devices: input should be 'all' or greater than or equal to 1, got 0",
    ),
    "no_address": (
        ["distributed.coordinator=here"],
        "override 'distributed.coordinator=here': distributed.coordinator: "
        "input should be HOST:PORT, got 'here'",
    ),
    "unlike_any_preset": (
        ["model.preset=smal"],
        "override 'model.preset=smal': model.preset: unknown preset 'smal'; "
        "did you mean 'small'? (one of: d2l, lecun1998, notes, small)",
    ),
    "out_of_range": (
        ["data.batch_size=0"],
        "override 'data.batch_size=0': data.batch_size: "
        "input should be greater than or equal to 1, got 0",
    ),
    "not_a_number": (
        ["optimizer.learning_rate=fast"],
        "override 'optimizer.learning_rate=fast': optimizer.learning_rate: "
        "input should be a valid number, got 'fast'",
    ),
    "not_finite": (
        ["optimizer.learning_rate=nan"],
        "override 'optimizer.learning_rate=nan': optimizer.learning_rate: "
        "input should be a finite number, got nan",
    ),
    "bool_for_int": (
        ["seeds=true"],
        "override 'seeds=true': seeds: input should be a valid integer, got True",
    ),
    "text_for_int": (
        ['data.batch_size="256"'],
        "override 'data.batch_size=\"256\"': data.batch_size: "
        "input should be a valid integer, got '256'",
    ),
    "unknown_experiment": (
        ["experiment=lenet6"],
        "override 'experiment=lenet6': experiment: unknown experiment 'lenet6'; "
        "did you mean 'lenet5'? (one of: bench_corr2d, bench_training, "
        "correlation_vs_convolution, edges, filters_learned_vs_designed, kernel_zoo, "
        "learn_kernel, lenet5, receptive_fields)",
    ),
    "unknown_optimizer": (
        ["optimizer.name=sdg"],
        "override 'optimizer.name=sdg': optimizer.name: unknown name 'sdg'; "
        "did you mean 'sgd'? (one of: adam, adamw, muon, sgd)",
    ),
    "option_of_another_optimizer": (
        ["optimizer.name=adam", "optimizer.momentum=0.9"],
        "override 'optimizer.momentum=0.9': optimizer.momentum: unknown key (one of: "
        "b1, b2, clip_norm, learning_rate, name, schedule, warmup, weight_decay)",
    ),
    "value_for_table": (
        ["train=3"],
        "override 'train=3': train: input should be an object, got 3",
    ),
    "table_below_a_value": (
        ["seeds.x=1", "seeds=2", "seeds.y=1"],
        "override 'seeds.y=1': seeds is a value, not a table",
    ),
    "misspelt_word": (
        ["optimizer.schedule=cosin"],
        "override 'optimizer.schedule=cosin': optimizer.schedule: "
        "input should be 'constant', 'cosine' or 'one_cycle', got 'cosin'; did you mean 'cosine'?",
    ),
    "no_value": (["seeds"], "override 'seeds': expected KEY=VALUE, as in train.epochs=3"),
    "two_values": (
        ["train.epochs=1\nseed=7"],
        "override 'train.epochs=1\\nseed=7': expected one value",
    ),
    "too_deep": (
        ["seeds=" + 3000 * "["],
        f"override 'seeds={3000 * '['}': '{3000 * '['}' is not a TOML value",
    ),
    "too_large": (
        ["train.epochs=1000000000000"],
        "override 'train.epochs=1000000000000': train.epochs: "
        "input should be less than or equal to 1000000, got 1000000000000",
    ),
    "broken_value": (
        ["optimizer.learning_rate=[1"],
        "override 'optimizer.learning_rate=[1': '[1' is not a TOML value",
    ),
}


@pytest.fixture
def lenet5_toml(tmp_path):
    path = tmp_path / "lenet5.toml"
    path.write_text(LENET5)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_committed_config_is_valid(path):
    assert isinstance(config.load(path), tables.Config)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_resolved_config_loads_back_equal(path, tmp_path):
    loaded = config.load(path)
    resolved = tmp_path / "resolved.toml"
    resolved.write_text(tomli_w.dumps(config.dump(loaded)))
    assert config.load(resolved) == loaded


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_head_comment_gives_command_result_time_and_machine(path):
    lines = path.read_text().splitlines()
    head = [line for line in lines[:12] if line.startswith("# ")]
    assert any(f"python -m experiments run configs/{path.name}" in line for line in head)
    assert any("two cores" in line for line in head)


def test_schema_is_current():
    assert Path("configs/schema.json").read_text() == config.schema(), "run make schema"


def test_schema_describes_every_experiment():
    definitions = json.loads(config.schema())["$defs"]
    assert {experiment.__name__ for experiment in get_args(tables.Config)} <= set(definitions)


@pytest.mark.parametrize(("overrides", "line"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_one_line(lenet5_toml, overrides, line):
    with pytest.raises(config.ConfigError) as caught:
        config.load(lenet5_toml, overrides)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("override", "keys"),
    [
        ("race.x=1", "recipe, seeds"),
        ("steps=[{network='cnn', batch_size=8, x=1}]", "batch_size, network"),
    ],
    ids=["optional", "of_a_list"],
)
def test_unknown_key_is_told_with_the_keys_of_its_table(override, keys):
    path = Path("configs/bench_training.toml")
    with pytest.raises(config.ConfigError, match=rf"\.x: unknown key \(one of: {keys}\)$"):
        config.load(path, [override])


def test_all_mistakes_are_told_at_once(lenet5_toml):
    lenet5_toml.write_text(LENET5.replace("epochs = 3", "epochs = 3.5\nepocs = 1"))
    with pytest.raises(config.ConfigError) as caught:
        config.load(lenet5_toml, ["data.name=cifar"])
    assert str(caught.value).splitlines() == [
        "override 'data.name=cifar': data.name: input should be 'digits', 'digits_halves', "
        "'mnist', 'fashion_mnist', 'kmnist' or 'idx', got 'cifar'",
        f"{lenet5_toml}: train.epochs: input should be a valid integer, got 3.5",
        f"{lenet5_toml}: train.epocs: unknown key; did you mean 'epochs'?",
    ]


def test_a_key_named_as_an_experiment_is_a_mistake_like_any(lenet5_toml):
    with pytest.raises(config.ConfigError) as caught:
        config.load(lenet5_toml, ["lenet5=3", "model.hidden=[0]"])
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["model.hidden.0", "lenet5"]


def test_missing_table_is_named(lenet5_toml):
    lenet5_toml.write_text(LENET5.replace("[train]\nepochs = 3\n", ""))
    with pytest.raises(config.ConfigError, match=r"lenet5.toml: train: required, and not given$"):
        config.load(lenet5_toml)


@pytest.mark.parametrize("name", ["target", "initial"])
def test_ragged_kernel_is_refused(name):
    path = Path("configs/learn_kernel.toml")
    with pytest.raises(config.ConfigError, match=rf"model\.{name}: input should be rows of one"):
        config.load(path, [f"model.{name}=[[1, 2], [3]]"])


def test_missing_file_suggests_the_nearest():
    with pytest.raises(config.ConfigError, match=r"no such file; did you mean 'configs/lenet5_m"):
        config.load(Path("configs/lenet5_mnst.toml"))


def test_repeated_key_is_refused(lenet5_toml):
    lenet5_toml.write_text(LENET5 + "epochs = 4\n")
    with pytest.raises(config.ConfigError, match=r"not TOML: Cannot overwrite a value \(at line"):
        config.load(lenet5_toml)


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(config.ConfigError, match="cannot be read"):
        config.load(tmp_path)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.root=../some/folder", "../some/folder"),
        ('data.root="a b"', "a b"),
        ("data.root='c:\\x'", "c:\\x"),
    ],
)
def test_override_takes_bare_words_and_toml_strings(lenet5_toml, override, value):
    assert config.load(lenet5_toml, [override]).data.root == value


def test_none_takes_a_key_out(lenet5_toml):
    lenet5_toml.write_text(LENET5 + "average_decay = 0.9\n")
    assert config.load(lenet5_toml).train.average_decay == 0.9
    assert config.load(lenet5_toml, ["train.average_decay=none"]).train.average_decay is None


@pytest.mark.parametrize(
    "override", ["train.average_decay=none", "optimizer.momentum=none", "model=none", "seeds=none"]
)
def test_none_for_a_known_key_that_the_file_lacks_is_its_default(lenet5_toml, override):
    assert config.load(lenet5_toml, [override]) == config.load(lenet5_toml)


def test_a_key_that_none_took_out_may_be_given_again(lenet5_toml):
    overrides = ["model=none", "model.hidden=[84]", "seeds=none", "seeds=2"]
    loaded = config.load(lenet5_toml, overrides)
    assert (loaded.model.hidden, loaded.seeds) == ((84,), 2)


def test_unknown_keys_taken_out_are_told_with_the_other_mistakes(lenet5_toml):
    with pytest.raises(config.ConfigError) as caught:
        config.load(lenet5_toml, ["data.foo=none", "seeds=0"])
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["seeds", "data.foo"]


def test_none_makes_room_for_another_optimizer(lenet5_toml):
    lenet5_toml.write_text(LENET5.replace('"sgd"', '"sgd"\nmomentum = 0.9'))
    overrides = ["optimizer.name=adam", "optimizer.momentum=none"]
    assert config.load(lenet5_toml, overrides).optimizer.b1 == 0.9


@pytest.mark.parametrize("value", ["[]", "[1]", "[1, 2, 3]", "3"])
def test_a_list_of_the_wrong_length_is_a_mistake_like_any(lenet5_toml, value):
    with pytest.raises(config.ConfigError, match=r"^override .*: model\.channels"):
        config.load(lenet5_toml, [f"model.channels={value}"])


def test_a_byte_order_mark_is_passed_over(lenet5_toml):
    lenet5_toml.write_text("\ufeff" + LENET5, encoding="utf-8")
    assert config.load(lenet5_toml).experiment == "lenet5"


def test_override_wins_over_the_file(lenet5_toml):
    assert config.load(lenet5_toml, ["train.epochs=7"]).train.epochs == 7


def test_whole_number_serves_as_float(lenet5_toml):
    assert config.load(lenet5_toml, ["optimizer.learning_rate=1"]).optimizer.learning_rate == 1.0


def test_resolved_config_is_toml():
    text = tomli_w.dumps(config.dump(config.load(Path("configs/learn_kernel.toml"))))
    assert tomllib.loads(text)["model"]["initial"] == [[-0.1705, 0.4315]]


@pytest.mark.parametrize(
    ("text", "value"),
    [("[sgd, adamw]", ["sgd", "adamw"]), ("[notes,]", ["notes"]), ("[x, 1e-3]", ["x", 1e-3])],
)
def test_words_of_a_list_need_no_quotes(tmp_path, text, value):
    (tmp_path / "c.toml").write_text(LENET5)
    loaded = config.load(tmp_path / "c.toml", [f"sweep.optimizer.name={text}"])
    assert loaded.sweep == {"optimizer": {"name": value}}
