"""Traces by an unmodified client: made by a decorator and a context manager, read, found, tagged and deleted.

Run with the interpreter of a client: `python scenario_traces.py URL`. Prints the names of the steps that passed.
"""

import contextlib
import sys

import mlflow
from mlflow import MlflowClient


def main(url: str) -> None:
    mlflow.set_tracking_uri(url)
    experiment = mlflow.set_experiment(f"traces of {mlflow.__version__}")
    client = MlflowClient()

    @mlflow.trace(span_type="LLM", attributes={"n": 1})
    def answer(question: str) -> str:
        with mlflow.start_span("look up") as span:
            span.set_inputs({"messages": [{"role": "user", "content": "hé"}]})
            span.set_outputs([1, 2])
        return question.upper()

    @mlflow.trace
    def fail() -> None:
        raise ValueError("no answer")

    answer("why")
    mlflow.flush_trace_async_logging()
    trace_id = mlflow.get_last_active_trace_id()
    trace = client.get_trace(trace_id)
    root, child = trace.data.spans
    assert (root.name, root.inputs, root.outputs, root.span_type) == ("answer", {"question": "why"}, "WHY", "LLM")
    assert root.attributes["n"] == 1
    assert child.parent_id == root.span_id
    assert child.inputs == {"messages": [{"role": "user", "content": "hé"}]}
    assert trace.info.state == "OK"
    print("made and read")

    client.set_trace_tag(trace_id, "color", "red")
    found = client.search_traces(experiment_ids=[experiment.experiment_id], filter_string="tag.color = 'red'")
    assert [len(one.data.spans) for one in found] == [2]
    client.delete_trace_tag(trace_id, "color")
    assert not client.search_traces(experiment_ids=[experiment.experiment_id], filter_string="tag.color = 'red'")
    print("tagged and found")

    with contextlib.suppress(ValueError):
        fail()
    mlflow.flush_trace_async_logging()
    [failed] = client.search_traces(experiment_ids=[experiment.experiment_id], filter_string="status = 'ERROR'")
    assert "no answer" in str(failed.data.spans[0].events[0].attributes)
    print("failed and found")

    assert client.delete_traces(experiment_id=experiment.experiment_id, trace_ids=[trace_id]) == 1
    assert len(client.search_traces(experiment_ids=[experiment.experiment_id])) == 1
    print("deleted")


main(sys.argv[1])
