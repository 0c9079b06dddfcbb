// The package `mlflow` of npm: an experiment, a run with metrics, params and tags, a search, and a history.

const MLflow = require("mlflow");
const { Experiments, Runs, Metrics, Artifacts } = new MLflow({ endpoint: process.env.MLFLOW_TRACKING_URI });

async function main() {
  const { experiment_id } = await Experiments.create({ name: process.env.EXPERIMENT });
  await Experiments.get({ experiment_id });
  const { run } = await Runs.create({ experiment_id, user_id: "ana", start_time: 1700000000000, tags: [{ key: "team", value: "vision" }] });
  const { run_id } = run.info;
  for (let step = 0; step < 2; step++) {
    await Runs.logMetric({ run_id, key: "loss", value: 1 / (step + 1), timestamp: 1700000000000 + step, step });
  }
  await Runs.logParameter({ run_id, key: "lr", value: "0.1" });
  await Runs.setTag({ run_id, key: "stage", value: "done" });
  await Runs.logBatch({ run_id, metrics: [{ key: "acc", value: 0.5, timestamp: 1700000000000, step: 0 }], params: [], tags: [] });
  await Runs.update({ run_id, status: "FINISHED", end_time: 1700000001000 });
  await Runs.get({ run_id });
  await Runs.search({ experiment_ids: [experiment_id], run_view_type: "ACTIVE_ONLY" });
  await Metrics.getHistory({ run_id, metric_key: "loss" });
  await Artifacts.list({ run_id });
  await Runs.deleteTag({ run_id, key: "stage" });
  await Runs.delete({ run_id });
  await Runs.restore({ run_id });
  await Experiments.update({ experiment_id, new_name: `${process.env.EXPERIMENT} renamed` });
  await Experiments.delete({ experiment_id });
  await Experiments.restore({ experiment_id });
}

main();
