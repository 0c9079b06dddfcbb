"""Assess traces, fill an evaluation dataset, evaluate with it, store a scorer, and print what the client got."""

import json

import mlflow
from mlflow.entities import AssessmentSource
from mlflow.genai.datasets import create_dataset, delete_dataset, get_dataset, search_datasets, set_dataset_tags
from mlflow.genai.judges import make_judge
from mlflow.genai.scorers import delete_scorer, get_scorer, list_scorers, scorer

REPORT: dict[str, object] = {}
HUMAN = AssessmentSource(source_type="HUMAN", source_id="ada")


@mlflow.trace
def answer(question: str) -> str:
    return question.upper()


@scorer
def is_upper(outputs: str) -> bool:
    return outputs.isupper()


@scorer
def is_expected(outputs: str, expectations: dict[str, str]) -> bool:
    return outputs == expectations["expected_response"]


def assess() -> None:
    answer("a")
    mlflow.flush_trace_async_logging()
    trace_id = mlflow.get_last_active_trace_id()
    first = mlflow.log_feedback(trace_id=trace_id, name="good", value=True, source=HUMAN, rationale="because")
    mlflow.log_expectation(trace_id=trace_id, name="expected", value={"text": "A"}, source=HUMAN)
    mlflow.override_feedback(trace_id=trace_id, assessment_id=first.assessment_id, value=False, source=HUMAN)
    mlflow.log_feedback(trace_id=trace_id, name="judge", error=ValueError("no answer"))
    assessments = mlflow.get_trace(trace_id).info.assessments
    REPORT["assessments"] = sorted((one.name, one.value) for one in assessments if one.name == "good")
    REPORT["error"] = next(one.error.error_message for one in assessments if one.name == "judge")
    mlflow.delete_assessment(trace_id=trace_id, assessment_id=first.assessment_id)
    REPORT["left"] = len(mlflow.get_trace(trace_id).info.assessments)


def datasets() -> str:
    dataset = create_dataset(name="golden", tags={"team": "vision"})
    records = [{"inputs": {"question": q}, "expectations": {"expected_response": q.upper()}} for q in "abc"]
    dataset.merge_records(records)
    dataset.merge_records([{"inputs": {"question": "a"}, "tags": {"seen": "twice"}}])
    set_dataset_tags(dataset_id=dataset.dataset_id, tags={"team": None, "kind": "unit"})
    again = get_dataset(dataset_id=dataset.dataset_id)
    REPORT["records"] = len(again.to_df())
    REPORT["tags"] = {key: value for key, value in again.tags.items() if key != "mlflow.user"}
    REPORT["found"] = [one.name for one in search_datasets(filter_string="name LIKE 'gold%'")]
    other = create_dataset(name="other")
    delete_dataset(dataset_id=other.dataset_id)
    REPORT["after"] = [one.name for one in search_datasets()]
    return dataset.dataset_id


def evaluate(dataset_id: str) -> None:
    result = mlflow.genai.evaluate(
        data=get_dataset(dataset_id=dataset_id), predict_fn=answer, scorers=[is_upper, is_expected]
    )
    REPORT["metrics"] = {name: float(value) for name, value in sorted(result.metrics.items())}
    traces = [mlflow.get_trace(trace_id) for trace_id in result.result_df["trace_id"]]
    REPORT["evaluated"] = sorted(len(trace.info.assessments) for trace in traces)


def scorers() -> None:
    judge = make_judge(name="tone", instructions="Is {{ outputs }} polite?", model="openai:/gpt-4o")
    judge.register()
    judge.register()
    REPORT["scorers"] = [one.name for one in list_scorers()]
    REPORT["judge"] = get_scorer(name="tone").instructions
    delete_scorer(name="tone", version="all")
    REPORT["no scorers"] = list_scorers()


mlflow.set_experiment("genai")
assess()
dataset_id = datasets()
evaluate(dataset_id)
scorers()
print(json.dumps(REPORT))
