"""Evaluation against a plain loop, and what an epoch means for the run."""

import math
from typing import Any

import pytest
import torch

from mnist_ops.config import Config
from mnist_ops.data.tensors import Split
from mnist_ops.score import evaluate as stage
from mnist_ops.score.evaluate import Evaluation, EvaluationSoFar, evaluate, evaluation
from mnist_ops.score.verdict import judge, reported_row
from tests.miniature import few_tensors, generator, network, of_kind


def test_evaluation_equals_a_plain_loop():
    data, model = few_tensors(), network()
    found = evaluate(model, data.test, data.mean, data.sd)
    right, total = 0, 0.0
    for image, label in zip(data.test.images, data.test.labels, strict=True):
        with torch.no_grad():
            row = model(((image / 255 - data.mean[0]) / data.sd[0])[None])[0].tolist()
        right += row.index(max(row)) == int(label)
        total += math.log(sum(map(math.exp, row))) - row[int(label)]
    assert found.correct == right
    assert found.accuracy == 100 * right / 40
    assert found.loss == pytest.approx(total / 40, abs=1e-5)
    assert found.predicted.tolist() == found.logits.argmax(1).tolist()
    assert torch.equal(found.labels, data.test.labels)


@pytest.mark.parametrize("size", [1, 7, 40, 41])
def test_batches_miss_no_image_and_repeat_none(size, monkeypatch):
    data, model = few_tensors(), network()
    whole = evaluate(model, data.test, data.mean, data.sd)
    monkeypatch.setattr(stage, "BATCH", size)
    events = list(evaluation(model, data.test, data.mean, data.sd))
    parts, last = of_kind(events, EvaluationSoFar), events[-1]
    assert isinstance(last, Evaluation)
    assert [one.batch for one in parts] == list(range(1, parts[-1].batches + 1))
    assert len(parts) == math.ceil(40 / size)
    torch.testing.assert_close(last.logits, whole.logits, rtol=1e-4, atol=1e-5)
    assert torch.equal(last.labels, whole.labels)


def test_evaluation_switches_dropout_off_and_changes_and_draws_nothing():
    data, model = few_tensors(), network("seed")
    source = generator()
    model.feed(source)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = source.get_state(), torch.get_rng_state()
    first, again = (evaluate(model, data.test, data.mean, data.sd) for _ in range(2))
    assert torch.equal(first.logits, again.logits)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(source.get_state(), states[0])
    assert torch.equal(torch.get_rng_state(), states[1])
    assert not first.logits.requires_grad


def test_an_image_is_judged_alike_in_any_company():
    data, model = few_tensors(), network()
    alone = evaluate(model, Split(data.test.images[3:4], data.test.labels[3:4]), data.mean, data.sd)
    among = evaluate(model, data.test, data.mean, data.sd)
    torch.testing.assert_close(alone.logits[0], among.logits[3], rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- verdicts


def row(epoch: int, validation: float | None = None, loss: float = 1.0, test: float | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"epoch": epoch}
    if validation is not None:
        made |= {"validation_accuracy": validation, "validation_loss": loss}
    return made | ({} if test is None else {"test_accuracy": test})


def test_without_a_validation_part_the_last_epoch_makes_the_figure():
    history = [row(1, test=99), row(2, test=98)]
    assert reported_row(history) is history[-1]


@pytest.mark.parametrize(("history", "best"), [
    ([row(1, 90), row(2, 95), row(3, 94)], 2),
    ([row(1, 90, loss=0.5), row(2, 90, loss=0.4), row(3, 90, loss=0.6)], 2),  # equal accuracy: the lower loss
    ([row(1, 90), row(2, 90)], 1),  # equal in both: the earlier
    ([row(1, 90, test=99), row(2, 95, test=80)], 2),  # the test set decides nothing
])
def test_with_a_validation_part_the_best_epoch_by_validation_makes_the_figure(history, best):
    assert reported_row(history)["epoch"] == best


@pytest.mark.parametrize(("history", "target", "kind", "text"), [
    ([row(1, 90, test=80)], 99.4, "first", "nothing to compare with yet"),
    ([row(1, test=80)], 0, "first", "nothing to compare with yet"),
    ([row(1, 90), row(2, 95)], 0, "saved", "best validation accuracy so far$"),
    ([row(1, 90), row(2, 95, test=98)], 99.4, "saved", r"best validation accuracy so far; target 99\.4 % not reached"),
    ([row(1), row(2)], 99.4, "saved", "saved: the latest epoch counts$"),
    ([row(1, 95), row(2, 90, test=99.9)], 99.4, "not saved",
     r"not saved: validation accuracy 90\.00 % is not better than the 95\.00 % of epoch 1"),
    ([row(1, 90, test=99.4)], 99.4, "target", r"target achieved: 99\.40 % test accuracy, at least 99\.4 %"),
    ([row(1), row(2, test=99.5)], 99.4, "target", "target achieved"),
    ([row(1), row(2, test=99.9)], 0, "saved", "the latest epoch counts$"),  # no target
])
def test_the_verdict_says_what_happened_and_why(history, target, kind, text):
    verdict = judge(history, Config(target=target))
    assert verdict.kind == kind
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(verdict.text)
