"""Format the record of hostile.py as Markdown, and compare it with the aims. Measures nothing."""

from typing import Any

from bench.attacks import ATTACKS
from bench.honest import HEALTH
from bench.report import table
from bench.servers import GUIDE_CONFIGURATION, RAILTRACK

MEMORY_MB, P99_S = 300, 2.0
AIMS = (
    f"Aims: no worker killed, at most {MEMORY_MB} MB, no failed request of the honest clients, and a 99th percentile "
    f"of theirs under {P99_S:.0f} s."
)


def missed(one: dict[str, Any]) -> list[str]:
    """Return the aims that an attack's record does not meet."""
    if "honest" not in one:
        return ["start"]
    checks = {
        "killed": bool(one["workers_killed"] or one["oom_kills"]),
        "memory": one["peak_mb"] > MEMORY_MB,
        "failed": bool(one["honest"]["failed"]),
        "p99": one["honest"]["p99_s"] >= P99_S,
        "recovery": one["normal_after_s"] is None,
    }
    return [aim for aim, is_missed in checks.items() if is_missed]


def markdown(found: dict[str, Any]) -> str:
    """Return the page. `found`: server -> its machine, seconds, and attacks."""
    order = sorted(found, key=[RAILTRACK, GUIDE_CONFIGURATION].index)
    parts = [
        "<!-- Written by `make hostile`. -->\n# Under attack\n\n"
        "Each attack meets a new server of two workers on PostgreSQL, over loopback. Only the server's processes are "
        "in a memory cgroup without swap. Attackers connect from 50 addresses, and again 2 s after the server has "
        "closed a connection. Meanwhile, honest clients on the same machine send, on a fixed schedule and over 16 "
        "connections, 10 log-metric, 5 get-run, 2 log-batch of 100, 2 /health on new connections and 1 search a "
        "second, and a dataset of 1.2 MB every 2 s.\n\n"
        "Peak memory: of the processes, with the kernel's for them; the cgroup's peak includes page cache. "
        "Failed: requests whose first try failed, although clients repeat them. Times count from when a request was "
        "due. Normal after: seconds from the end of the attack to the last response that failed or took more than 1 s."
        "\n\n"
        f"{AIMS}",
        _verdict(found),
    ]
    parts += [
        f"## {name} {found[name]['version']}\n\n{_machine(found[name])}\n\n{_figures(found[name])}" for name in order
    ]
    parts += [f"## Attacks on {name}\n\n{_attacks(found[name])}" for name in order]
    return "\n\n".join(parts) + "\n"


def _verdict(found: dict[str, Any]) -> str:
    parts = []
    for server, one in found.items():
        met = [name for name, attack in one["attacks"].items() if not missed(attack)]
        parts.append(f"{server} met all aims in {len(met)} of {len(one['attacks'])} attacks.")
    return " ".join(parts)


def _machine(one: dict[str, Any]) -> str:
    machine = one["machine"]
    return (
        f"{machine['date'][:10]}, commit {machine['commit']}: {machine['processors']} processors ({machine['model']}), "
        f"{machine['memory_gb']} GB, Linux {machine['kernel']}, Python {machine['python']}, one-minute load before "
        f"{machine['load_before']:.2f}. {one['seconds']:.0f} s for each attack, cgroup of {one['memory_mb']:,} MB."
        f"{' ' + one['note'] if 'note' in one else ''}"
    )


def _figures(found: dict[str, Any]) -> str:
    heads = ["attack", "workers killed", "OOM kills", "peak memory", "cgroup peak", "requests", "failed", "p50", "p99"]
    heads += ["slowest", "slowest /health", "normal after", "aims"]
    rows = []
    for name, one in found["attacks"].items():
        if "honest" not in one:
            rows.append(
                [name, "-", str(one["oom_kills"]), "-", f"{one['cgroup_peak_mb']:.0f} MB", *["-"] * 7, one["failed"]]
            )
            continue
        honest = one["honest"]
        after = "never" if one["normal_after_s"] is None else f"{one['normal_after_s']:.1f} s"
        rows.append(
            [
                name,
                str(one["workers_killed"]),
                str(one["oom_kills"]),
                f"{one['peak_mb']:.0f} MB",
                f"{one['cgroup_peak_mb']:.0f} MB",
                f"{honest['requests']:,}",
                f"{sum(honest['failed'].values()):,}",
                f"{honest['p50_s'] * 1000:.0f} ms",
                f"{honest['p99_s']:.2f} s",
                f"{honest['max_s']:.2f} s",
                f"{honest['slowest_s'][HEALTH]:.2f} s",
                after,
                "met" if not missed(one) else "missed: " + ", ".join(missed(one)),
            ]
        )
    return table(heads, rows)


def _attacks(found: dict[str, Any]) -> str:
    """Return what each attack did: the proof that it was one."""
    descriptions = {attack.name: attack.description for attack in ATTACKS}
    rows = []
    for name, one in found["attacks"].items():
        if done := one.get("attack"):
            responses = ", ".join(f"{count:,} x {status}" for status, count in sorted(done["responses"].items()))
            counts = [f"{done[what]:,}" for what in ("peak_open", "opened", "not_connected", "closed_by_server")]
            sizes = [f"{done[what]:,.1f} MB" for what in ("sent_mb", "received_mb", "peak_unread_mb")]
            rows.append([name, descriptions[name], *counts, *sizes, responses or "-"])
    heads = ["attack", "what", "most open at once", "opened", "not connected", "closed by the server"]
    return table([*heads, "sent", "received", "most unread at once", "responses"], rows)
