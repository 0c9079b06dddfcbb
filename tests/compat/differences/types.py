"""Differences for values of the wrong type, which MLflow silently drops and Railtrack rejects."""

from tests.compat.differences.registry import because
from tests.compat.overrides import Response, edited, missing, rejected, without, wrong_type


def remove_rejected_values(response: Response) -> None:
    """Remove the metric of 0.0, the param and the tag that MLflow stored from requests that Railtrack rejects."""
    data = response["json"]["run"]["data"]
    data["metrics"] = [metric for metric in data["metrics"] if metric["key"] != "a"]
    data["tags"] = [tag for tag in data["tags"] if tag["key"] != "p"]
    del data["params"]


because(
    "MLflow drops a member of the wrong type and all later ones, and stores the rest: a metric of 0.0 at time 0, a run "
    "that began in 1970. Or it responds with 500. The caller needs the error.",
    {
        "datasets_inputs": {
            "datasets is a list *": wrong_type("datasets"),
            "models is a list *": wrong_type("models"),
            "a dataset that is a text": wrong_type("datasets[0].dataset"),
            **{
                f"a dataset: {field} is a{n} {kind}": wrong_type(f"datasets[0].dataset.{field}")
                for field in ("name", "digest", "source_type", "source", "schema", "profile")
                for n, kind in (("", "number"), ("", "fraction"), ("", "boolean"), ("", "list"), ("n", "object"))
            },
            "a tag with a key that is a number": wrong_type("datasets[0].tags[0].key"),
        },
        "datasets_models": {
            ("a model in with a number", "a model out with a number for id"): wrong_type("models[0].model_id"),
            "out: models is a list *": wrong_type("models"),
            "a model out with a wordy step": wrong_type("models[0].step"),
            "the run after the wordy step": edited(lambda response: response["json"]["run"]["outputs"].clear()),
        },
        "datasets_search": {
            (
                "experiment_ids is a text",
                "experiment_ids is a number",
                "experiment_ids is an object",
                "experiment_ids is a list of numbers",
                "experiment_ids is a list with null",
            ): wrong_type("experiment_ids"),
        },
        "experiments_create": {
            "tags is a list *": wrong_type("tags"),
            "a tag key that is a number": wrong_type("tags[0].key"),
            "a tag value that is a number": wrong_type("tags[0].value"),
            "a tag value that is a number: the experiment": rejected(
                "Could not find experiment with name '<prefix>tag-5'", "RESOURCE_DOES_NOT_EXIST", 404
            ),
            "a name with a lone surrogate": wrong_type("name"),
        },
        "log_batch_contents": {
            "metrics is a list *": wrong_type("metrics"),
            "params is a list *": wrong_type("params"),
            "tags is a list *": wrong_type("tags"),
            "a metric: step is empty": wrong_type("metrics[0].step"),
        },
        "log_batch_models_and_data": {
            "a dataset name that is a number": wrong_type("metrics[0].dataset_name"),
            "a model id that is a number": wrong_type("metrics[0].model_id"),
        },
        "log_batch_types": {
            "a metric: key is *": wrong_type("metrics[1].key"),
            "a metric: step is *": wrong_type("metrics[1].step"),
            **{
                f"a metric: timestamp is a {kind}": wrong_type("metrics[1].timestamp")
                for kind in ("word", "fraction", "boolean", "list", "number over 64 bits", "fraction as text")
            },
            "a metric: timestamp is an object": wrong_type("metrics[1].timestamp"),
            (
                "a metric: value is a word",
                "a metric: value is a list",
                "a metric: value is an object",
            ): wrong_type("metrics[1].value"),
            "one of params: key is *": wrong_type("params[0].key"),
            "one of params: value is *": wrong_type("params[0].value"),
            "one of tags: key is *": wrong_type("tags[0].key"),
            "one of tags: value is *": wrong_type("tags[0].value"),
            "a bad metric before good params and tags": wrong_type("metrics[0].value"),
            "the run after the wrong types": edited(remove_rejected_values),
        },
        "log_metric_rejected": {
            "step is *": wrong_type("step"),
            "timestamp is *": wrong_type("timestamp"),
            "timestamp is an empty text": missing("timestamp"),
            (
                "value is a list",
                "value is an object",
                "value is an underscored text",
                "value is over the doubles",
            ): wrong_type("value"),
            "the run after the refused metrics": without("metrics"),
        },
        "log_metric": {"timestamp is empty": missing("timestamp")},
        "metrics_bulk": {"with a wordy limit": wrong_type("max_results")},
        "metrics_history": {
            (
                "max_results ''",
                "max_results 'x'",
                "max_results '1.5'",
                "max_results '99999999999999999999'",
            ): wrong_type("max_results"),
        },
        "runs_create": {
            "start_time is a*": wrong_type("start_time"),
            "a start time as text with spaces": wrong_type("start_time"),
            "tags is *": wrong_type("tags"),
            "user_id is *": wrong_type("user_id"),
        },
        "runs_names_and_tags": {
            "a tag key that is a number": wrong_type("tags[0].key"),
            "a tag value that is a number": wrong_type("tags[0].value"),
        },
        "runs_update": {
            (
                "the status 'finished'",
                "the status 'DONE'",
                "the status ''",
                "the status 'UNFINISHED'",
                "the status ' FINISHED'",
                "the status '6'",
                "status is a fraction",
                "status is a boolean",
            ): wrong_type("status"),
            "end_time is a *": wrong_type("end_time"),
            "end_time is an object": wrong_type("end_time"),
        },
        "search_experiments_filters": {
            ("order_by is a list of numbers", "order_by is a list with null"): wrong_type("order_by"),
        },
        "search_experiments_pages": {
            (
                "max_results: a fraction",
                "max_results: a boolean",
                "max_results: a list",
                "max_results: an object",
                "max_results: a number over 64 bits",
            ): wrong_type("max_results"),
        },
        "search_runs_pages": {
            (
                "max_results: a fraction",
                "max_results: a boolean",
                "max_results: a list",
                "max_results: an object",
            ): wrong_type("max_results"),
            "experiment ids: a list of numbers": wrong_type("experiment_ids"),
            "experiment ids: a list with null": wrong_type("experiment_ids"),
            "a token: a *": wrong_type("page_token"),
            "a token: an object": wrong_type("page_token"),
        },
        "wire_numbers_as_text": {
            "a batch with a fraction": wrong_type("metrics[1].step"),
        },
        "wire_scalars": {
            (
                'log-metric "step": 1e-2',
                'log-metric "step": "\uff11"',
                'log-metric "step": " 1"',
                'log-metric "step": Infinity',
                'log-metric "step": "9223372036854775808"',
                'log-metric "step": 9223372036854775808',
                'log-metric "step": -9223372036854775809',
                'log-metric "step": 1e19',
                'log-metric "step": 123456789012345678901234567890',
                'log-metric "step": false',
            ): wrong_type("step"),
        },
    },
)
