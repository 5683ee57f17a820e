"""What the grids of small studies have in common."""

MEASURED = {
    "metrics": ["top1_accuracy/judge", "fid/judge, train"],
    "items": ["top1_accuracy/judge"],
    "curve": {
        "quality": "fid/judge, train",
        "adherence": "top1_accuracy/judge",
        "samplings": ["g1", "g2"],
    },
    "seconds": {"train": 60, "sample": 60},
    "samplings": {"g1": {"guidance": 1.0}, "g2": {"guidance": 2.0}},
}
