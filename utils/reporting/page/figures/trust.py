"""The figure of how far clusters and subset would stay the same, if one thing changed"""

from ..charts import Chart, Series, number
from ..facts import SubsetFacts


def stability_chart(subset: SubsetFacts) -> Chart | None:
    """How far the clusters and the subset would be the same, if one thing changed."""
    stability = subset.stability
    if stability is None:
        return None
    changes: list[tuple[str, dict[str, float]]] = [
        (f"another k-means seed, {place}", agreement)
        for place, agreement in enumerate(stability["other_seeds"], start=1)
    ]
    changes += [
        (f"without checkpoint {name}", agreement)
        for name, agreement in stability["without_checkpoint"].items()
    ]
    changes += [
        ("the mean loss alone", stability["mean_loss_alone"]),
        ("the last loss alone", stability["last_loss_alone"]),
        ("no clusters at all", stability["no_clusters"]),
    ]
    if "target_losses" in stability:
        changes.insert(0, ("the target's losses", stability["target_losses"]))
    of_clusters = [(name, each["clusters"]) for name, each in changes if "clusters" in each]
    series = [
        Series("same rows chosen (Jaccard)", [each["subset"] for _, each in changes],
               [name for name, _ in changes], "points", look=1),
        Series("same clusters (adjusted Rand index)", [value for _, value in of_clusters],
               [name for name, _ in of_clusters], "points", look=0),
    ]  # fmt: skip
    table = [[name, number(each.get("clusters")), number(each["subset"])] for name, each in changes]
    return Chart(
        "stability",
        "What would stay the same, if one thing changed",
        "1 = all the same. Clusters: 0 = no more than chance. Rows: rows in both over rows in either.",
        "agreement",
        "",
        series,
        names_on_y=True,
        heading=["changed", "clusters", "rows"],
        table=table,
        height=60 + 24 * len(changes),
        x_range=(min([0.0, *(value for each in series for value in each.x)]) - 0.02, 1.02),
    )
