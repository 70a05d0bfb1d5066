import json

import pytest
from rich.console import Console

from experiments.__main__ import main
from experiments.after import print_runs
from experiments.printed_table import plain

CONFIG = 'experiment = "lenet5"\nseeds = 2\ndata.name = "digits"\ntrain.epochs = 3\n'
CONFIG += 'seed = 4\noptimizer = {name = "sgd", learning_rate = 0.1}\n'


def write_run(folder, *, accuracies, seconds=100.0, config=CONFIG, **environment):
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(config)
    known = {"time": "2026-11-23T12:00:00+00:00", "commit": "abc", "cores": 2, **environment}
    (folder / "environment.json").write_text(json.dumps(known))
    result = {"status": "finished", "seeds": [4, 5], "accuracy": accuracies}
    result |= {"wall_seconds": seconds, "num_params": 61_706, "evaluated_on": "test"}
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def runs(tmp_path):
    """A folder of two runs: "b", and the older "a"."""
    write_run(tmp_path / "b", accuracies=[0.9, 0.8])
    config = CONFIG.replace("0.1", "0.2")
    older = {"time": "2026-11-23T11:00:00+00:00", "commit": "def"}
    write_run(tmp_path / "a", accuracies=[0.8, 0.6], config=config, **older)
    return tmp_path


def output(capsys, *arguments):
    assert main(list(map(str, arguments))) == 0
    return capsys.readouterr().out


def test_ls_has_a_line_for_every_run_the_oldest_first(runs, capsys):
    head, _, older, younger = output(capsys, "ls", runs).splitlines()
    assert head.split("  ")[0] == "run"
    assert older.split()[:2] == ["a", "finished"]
    for text in ("85.00 +- 7.07 (n = 2)", "1.67 min", "4 to 5", "optimizer.learning_rate 0.1"):
        assert text in younger


@pytest.mark.parametrize("name", ["config.toml", "result.json", "environment.json"])
def test_ls_lists_damaged_runs_too(runs, capsys, name):
    (runs / "a" / name).write_bytes(b"\x00\xff")
    lines = output(capsys, "ls", runs).splitlines()
    assert len(lines) == 4
    assert sum("finished" in line for line in lines) == (2 if name == "environment.json" else 1)


def test_ls_of_an_empty_folder_is_a_line(tmp_path, capsys):
    assert output(capsys, "ls", tmp_path) == f"{tmp_path}: no runs here\n"


def test_ls_of_a_run_says_how_to_show_it(runs, capsys):
    told = f"is a run: show it with python -m experiments show {runs / 'a'}"
    assert output(capsys, "ls", runs / "a") == f"{runs / 'a'}: {told}\n"


@pytest.mark.parametrize("command", ["ls", "show"])
def test_a_missing_folder_is_a_line_and_status_2(tmp_path, capsys, command):
    assert main([command, str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'none'}: no such folder\n"


@pytest.mark.parametrize(
    ("width", "seen", "unseen"),
    [
        (14, "a …   finished", "accuracy"),
        (42, "a        finished   70.00 +- 14.14 (n = 2)", "time"),
        (53, "1.67 min", "seeds"),
        (90, "…", "train.epochs 3"),
        (None, "train.epochs 3", "…"),
    ],
)
def test_ls_cuts_the_last_columns_first(runs, capsys, monkeypatch, width, seen, unseen):
    (runs / "b").rename(runs / "a name")
    is_terminal = {"force_terminal": width is not None, "color_system": None, "width": width}
    monkeypatch.setattr(print_runs, "Console", lambda **more: Console(**is_terminal, **more))
    lines = output(capsys, "ls", runs).splitlines()
    assert all(len(line) <= (width or 1000) for line in lines if "─" not in line)
    assert seen in "\n".join(lines)
    assert unseen not in "\n".join(lines)


def test_show_tells_what_a_run_came_to(runs, capsys):
    shown = output(capsys, "show", runs / "a")
    for line in (
        "state        finished",
        "accuracy     test 70.00 +- 14.14 % (95 %: -57.06 to 197.06, n = 2)",
        "results      num_params 61706",
        "time         1.67 min, from 2026-11-23T11:00:00+00:00",
        "environment  commit def",
    ):
        assert line in shown.splitlines()


def test_show_says_how_to_go_on(runs, capsys):
    (runs / "a" / "result.json").unlink()
    *_, last = output(capsys, "show", runs / "a").splitlines()
    assert last == f"go on with   python -m experiments run --resume {runs / 'a'}"


def test_show_prints_the_last_rows_and_the_damage(runs, capsys):
    row = {"kind": "train", "step": 8, "loss": 0.25}
    (runs / "a" / "metrics.jsonl").write_text(json.dumps(row) + '\n{"kind')
    shown = output(capsys, "show", runs / "a").splitlines()
    assert "damage       metrics.jsonl: line 2 of 2 is not whole" in shown
    assert "last rows    kind train, step 8, loss 0.25" in shown


def test_diff_shows_both_values_and_the_interval_of_pairs(runs, capsys):
    lines = [line.split() for line in output(capsys, "diff", runs / "a", runs / "b").splitlines()]
    assert ["optimizer.learning_rate", "0.2", "0.1"] in lines
    assert ["commit", "def", "abc"] in lines
    assert ["train.epochs", "3", "3"] not in lines
    last = "accuracy: 70.00 % less 85.00 % is -15.00 % (95 %: -78.53 to +48.53, n = 2 pairs)"
    assert lines[-1] == last.split()


def test_a_run_does_not_differ_from_itself(runs, capsys):
    lines = output(capsys, "diff", runs / "a", runs / "a").splitlines()
    assert lines[:2] == ["config: no difference", "environment: no difference"]


def test_diff_names_the_run_without_an_accuracy(runs, capsys):
    (runs / "b" / "result.json").write_text('{"status": "failed"}')
    *_, last = output(capsys, "diff", runs / "a", runs / "b").splitlines()
    assert last == f"accuracy: none in {runs / 'b'}"


def test_diff_says_that_the_images_differ(runs, capsys):
    path = runs / "b" / "result.json"
    path.write_text(path.read_text().replace('"test"', '"held-out training"'))
    *_, last = output(capsys, "diff", runs / "a", runs / "b").splitlines()
    ending = "; on different images: test images of digits and held-out training images of digits"
    assert last.endswith(f"n = 2 and 2){ending}")


@pytest.mark.parametrize("values", [("0.1", "0.10000001"), (f'"{"x" * 70}a"', f'"{"x" * 70}b"')])
def test_diff_prints_values_to_the_last_digit(tmp_path, capsys, values):
    folders = [
        write_run(tmp_path / str(index), accuracies=[0.5], config=f"a = {value}\n")
        for index, value in enumerate(values)
    ]
    lines = [line.split() for line in output(capsys, "diff", *folders).splitlines()]
    assert ["a", *(value.strip('"') for value in values)] in lines


def test_ls_prints_long_values_in_full_where_it_is_piped(tmp_path, capsys):
    write_run(tmp_path / "run", accuracies=[0.5], config=f'a = "{"x" * 200}"\n')
    assert f"a {'x' * 200}\n" in output(capsys, "ls", tmp_path)


@pytest.fixture
def swept(tmp_path):
    """A run of two settings."""
    folder = write_run(tmp_path / "run", accuracies=[0.1, 0.9])
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "settings": [{}, {}]}))
    return folder


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ls", "FOLDER"], "  2 settings  "),
        (["show", "RUN"], "accuracy     test 2 settings\n"),
        (["diff", "RUN", "RUN"], "accuracy: no mean over the settings of "),
    ],
    ids=["ls", "show", "diff"],
)
def test_settings_are_counted_instead_of_averaged(swept, capsys, words, expected):
    places = {"RUN": swept, "FOLDER": swept.parent}
    assert expected in output(capsys, *(places.get(word, word) for word in words))


@pytest.mark.parametrize("command", ["ls", "show"])
@pytest.mark.parametrize("value", ["2026-01-01", "[2026-01-01]"], ids=["date", "list_of_dates"])
def test_a_date_in_a_config_is_printed(tmp_path, capsys, command, value):
    folder = write_run(tmp_path / "run", accuracies=[0.5], config=f"when = {value}\n")
    assert "2026-01-01" in output(capsys, command, tmp_path if command == "ls" else folder)


def test_ls_skips_a_run_that_vanishes(runs, capsys, monkeypatch):
    found = [runs / "a", runs / "gone"]
    monkeypatch.setattr(print_runs.past_runs, "find", lambda folder: found)
    assert len(output(capsys, "ls", runs).splitlines()) == 3


HOSTILE = {
    "escape": "\x1b[31m",
    "newline": "a\nb",
    "html": "<b>x</b>",
    "bidi": "\u202e",
    "rich": "[red]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("command", ["ls", "show", "diff"])
def test_names_and_values_from_files_are_printed_as_text(tmp_path, capsys, command, text):
    name = text.replace("/", "|")
    config = f"experiment = {json.dumps(text)}\n[{json.dumps(text)}]\nx = {json.dumps(text)}\n"
    folder = write_run(tmp_path / name, accuracies=[0.5], config=config, platform=text)
    other = write_run(tmp_path / "other", accuracies=[0.5])
    arguments = {"ls": [tmp_path], "show": [folder], "diff": [folder, other]}[command]
    printed = output(capsys, command, *arguments)
    assert plain(text) in printed
    assert all(line.isprintable() for line in printed.splitlines())
