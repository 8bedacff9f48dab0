"""The tables of the study's analyses in Markdown, from what the scripts of benchmarks/ kept."""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from docs.study.differences import cell, paired_difference
from docs.study.markdown import mean_and_deviation, plain, short_commit, table
from docs.study.results import CONTROLS
from utils.experiments.statistics import CONFIDENCE


def clusters_section(kept: Mapping[str, Any]) -> str:
    """The tables of benchmarks/study_clusters.py."""
    means = kept["means_of_two"]
    of_means = [mean_and_deviation(each) for each in means["components"]] or [""] * len(kept["components"])
    of_trajectories = [
        [
            str(place),
            f"{statistics.mean(each['share']):.1%}",
            mean_and_deviation(each["correlation"]),
            of_mean,
        ]
        for place, (each, of_mean) in enumerate(zip(kept["components"], of_means, strict=True), start=1)
    ]
    of_clusters = []
    for features, each in kept["features"].items():
        agreements = [each[f"same_with_another_{change}"] for change in ("start", "proxy")]
        agreements.append(means["clusters"].get(features, []))
        one_source = f"{statistics.mean(each['commonest_source']):.0%}"
        of_clusters.append([features, one_source, *map(mean_and_deviation, agreements)])
    agree = ["two proxies agree", "means of two agree"]
    gives = ["another start gives the same", "another proxy gives the same", "two others give the same"]
    parts = [
        f"`python benchmarks/study_clusters.py {' '.join(kept['proxies'])}`",
        table(["component of a trajectory", "share of the variance", *agree], of_trajectories),
        "Principal components of the loss trajectories, the largest first. Agree: correlation over the rows "
        "of what two proxies measure that differ in the seed alone, or the means of two and of two others.",
        table(["clusters of", "one source", *gives], of_clusters),
        "One source: rows that are of the commonest source of their cluster; in one cluster of all rows it "
        f"would be {kept['largest_source']:.0%}. The same: adjusted Rand index, 1 for the same clusters, 0 "
        "for no more than chance. Two others: clusters of the means of two proxies and of two others.",
        f"Mean ± standard deviation over {len(kept['proxies'])} proxies, or their pairs; "
        f"{kept['num_rows']:,} rows, 100 clusters over all sources. {_made_by(kept)}",
    ]
    return "\n\n".join(parts)


def end_token_section(kept: Mapping[str, Any]) -> str:
    """The tables of benchmarks/study_end_token.py."""
    measured = kept["measured"]

    def mean(*keys: str) -> str:
        return f"{statistics.mean(_at(each, keys) for each in measured):.2f}"

    added = []
    for tenth in zip(*(each["added_loss"] for each in measured), strict=True):
        shortest, longest, num_rows, _ = tenth[0]
        lengths = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
        added.append([lengths, f"{num_rows:,}", f"{statistics.mean(each[3] for each in tenth):.3f}"])
    sides = [
        ["rank correlation of a row's mean loss with its length", "level_and_length"],
        ["share of the variance of log length that lies between clusters", "length_by_cluster"],
        ["response tokens of a chosen row", "response_tokens"],
    ]
    of_sides = [[what, mean(key, "sound"), mean(key, "faulty")] for what, key in sides]
    same = [
        ["clusters (adjusted Rand index)", "same_clusters", "other_seed", "another seed of k-means"],
        [f"chosen rows, of {kept['budget']:.0%} of the pool", "same_rows", "no_clusters", "without clusters"],
    ]
    of_same = [
        [what, mean(key, "faulty"), f"{mean(key, other)} ({words})"] for what, key, other, words in same
    ]
    parts = [
        f"`python benchmarks/study_end_token.py {' '.join(kept['proxies'])}`",
        table(["response tokens", "rows", "nats that the fault adds"], added),
        table(["", "as it should be", "with the fault"], of_sides),
        table(["the same", "with and without the fault", "for comparison"], of_same),
        f"Means of {len(measured)} proxies, whose newest checkpoints the first table is of. Clusters and "
        f"rows as the preset `released` makes them. {_made_by(kept)}",
    ]
    return "\n\n".join(parts)


def agreement_section(kept: Mapping[str, Any]) -> str:
    """The table of benchmarks/study_agreement.py."""
    rows = [
        [
            source or "all",
            f"{each['rows']:,}",
            mean_and_deviation(each["proxy_and_target"]),
            mean_and_deviation(each["two_proxies"]),
        ]
        for source, each in kept["sources"].items()
    ]
    parts = [
        f"`python benchmarks/study_agreement.py {' '.join(kept['pairs'])}`",
        table(["source", "rows", "proxy and target", "two proxies"], rows),
        "Spearman's correlation of the losses of newest checkpoints over the rows of the pool: mean ± "
        f"standard deviation over {len(kept['pairs'])} seeds, or pairs of them. "
        f"{_made_by(kept)}",
    ]
    return "\n\n".join(parts)


def sizes_section(kept: Mapping[str, Any]) -> str:
    """The table of benchmarks/study_sizes.py."""
    size_of = kept["proxies"]
    by_sizes: dict[tuple[int, ...], list[Mapping[str, Any]]] = {}
    for pair in kept["pairs"]:
        sizes = tuple(sorted(size_of[proxy] for proxy in pair["proxies"]))
        by_sizes.setdefault(sizes, []).append(pair)
    keys = [
        ("last",),
        ("fall",),
        *((of, preset) for preset in ("released", "paper") for of in ("clusters", "rows")),
    ]
    rows = [
        [" and ".join(f"{size / 1e6:.2g}" for size in sizes), str(len(pairs))]
        + [f"{statistics.mean(_at(pair, key) for pair in pairs):.2f}" for key in keys]
        for sizes, pairs in sorted(by_sizes.items())
    ]

    def chance(of: str, preset: str) -> str:
        return f"{statistics.mean(each[of][preset] for each in kept['chance']):.2f}"

    start = [chance("clusters", "released"), "", chance("clusters", "paper"), ""]
    rows.append(["one proxy, another start of k-means", str(len(size_of)), "", "", *start])
    rows.append(["one proxy, random rows", str(len(size_of)), "", "", "", chance("rows", "released"), "", ""])
    columns = ["clusters, `released`", "rows, `released`", "clusters, `paper`", "rows, `paper`"]
    parts = [
        f"`python benchmarks/study_sizes.py {' '.join(size_of)}`",
        table(["millions of parameters", "pairs", "last loss", "fall", *columns], rows),
        "Last loss, and fall (first loss minus last): Spearman's correlation over the rows of a source, in "
        "the median source. Clusters: adjusted Rand index. Rows: share of those chosen, "
        f"{kept['budget']:.0%} of the pool, that are the same; one random order of the pool serves all. "
        "Random rows: with the same shares of the sources. Means over pairs, of which those of one size "
        f"differ in the seed of the proxy; {kept['num_rows']:,} rows. {_made_by(kept)}",
    ]
    return "\n\n".join(parts)


def near_copies_section(kept: Mapping[str, Any]) -> str:
    """The table of benchmarks/study_near_copies.py."""
    control = CONTROLS[0]
    parts = {"all": "all", "without": "without a near-copy", "with": "with one"}
    rows = []
    for label, of_arm in kept["arms"].items():
        found = [paired_difference(of_arm[part], kept["arms"][control][part]) for part in parts]
        cells = [cell(each) if label != control else "" for each in found]
        rows.append([label, f"{statistics.mean(of_arm['chosen']):.0f}", *cells])
    heading = ["arm", "near-copies chosen of", *(f"minus {control}, {words}" for words in parts.values())]
    text = [
        f"`python benchmarks/study_near_copies.py {kept['experiment']}`",
        table(heading, rows),
        f"{kept['num_with']} of the {kept['num_heldout']} held-out rows have a near-copy in the pool: a row "
        "that shares more than half of the runs of five words of the question. Chosen of: held-out rows with "
        f"one in the subset. Means over {len(kept['seeds'])} seeds, in brackets the paired {CONFIDENCE:.0%} "
        f"interval, bold where it leaves out 0. {_made_by(kept)}",
    ]
    return "\n\n".join(text)


def noise_section(kept: Mapping[str, Any]) -> str:
    """The table of benchmarks/study_noise.py."""
    control = CONTROLS[0]
    shares = {label: [100 * share for share in each.values()] for label, each in kept["shares"].items()}
    differences = {
        label: paired_difference(of_label, shares[control])
        for label, of_label in shares.items()
        if label != control
    }
    rows = []
    for label, of_label in shares.items():
        found = differences.get(label)
        ends = f"{min(of_label):.1f} to {max(of_label):.1f}"
        rows.append([label, f"{statistics.mean(of_label):.1f}", ends, cell(found, digits=1)])
    parts = [
        f"`python benchmarks/study_noise.py {kept['experiment']} {kept['planted']}`",
        table(["arm", "% of its rows that are noise", "seed by seed", f"minus {control}"], rows),
        f"Of the pool {kept['share_of_pool']:.1%} is noise. Budget {', '.join(kept['budgets'])}; means over "
        f"{len(kept['proxies'])} seeds of proxy and choice, in brackets the paired {CONFIDENCE:.0%} interval "
        f"over them, bold where it leaves out 0. {_made_by(kept)}",
    ]
    return "\n\n".join(parts)


def _made_by(kept: Mapping[str, Any]) -> str:
    """The devices, versions and commits of the runs that an analysis is of."""
    commits = ", ".join(map(short_commit, kept["git_commits"]))
    return plain(f"{', '.join(kept['devices'])}; {'; or '.join(kept['versions'])}; commit {commits}.")


def _at(values: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        values = values[key]
    return values


ANALYSIS_SECTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "clusters": clusters_section,
    "end_token": end_token_section,
    "agreement": agreement_section,
    "sizes": sizes_section,
    "noise": noise_section,
    "near_copies": near_copies_section,
}
