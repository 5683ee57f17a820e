import numpy as np
import pytest
import torch

from pipeline.negatives import (
    Negatives,
    check_chunks,
    derangements,
    inter_rows,
    reorder_grid,
    reorder_picture,
    reorder_sequence,
)
from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import Clip


@pytest.mark.parametrize("size", [2, 3, 8])
def test_no_chunk_stays_in_place(size):
    orders = derangements(np.random.default_rng(0), 200, size)
    assert (np.sort(orders, axis=1) == np.arange(size)).all()
    assert (orders != np.arange(size)).all()
    possible = {2: 1, 3: 2, 8: 14833}[size]
    assert len({tuple(order) for order in orders}) >= min(possible, 150)


@pytest.mark.parametrize("length", [8, 11])
def test_reordering_moves_whole_chunks_and_leaves_the_tail(length):
    sequence = torch.arange(2 * length).reshape(2, length)
    orders = torch.from_numpy(derangements(np.random.default_rng(1), 6, 4)).reshape(2, 3, 4)
    moved = reorder_sequence(sequence, orders)
    size = length // 4
    for row in range(2):
        for number in range(3):
            chunks = [sequence[row, c * size : (c + 1) * size] for c in orders[row, number]]
            expected = torch.cat([*chunks, sequence[row, 4 * size :]])
            assert moved[row, number].equal(expected)


def test_patches_of_a_picture_move_whole():
    picture = torch.arange(2 * 6 * 6.0).reshape(2, 6, 6)
    orders = torch.from_numpy(derangements(np.random.default_rng(2), 3, 9))
    moved = reorder_picture(picture, orders)
    for number, order in enumerate(orders):
        for place, source in enumerate(order):
            (r, c), (i, j) = divmod(place, 3), divmod(int(source), 3)
            here = moved[number, :, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
            assert here.equal(picture[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2])


def clips(**columns):
    return [
        Clip(str(row), "x", "train", **{name: values[row] for name, values in columns.items()})
        for row in range(12)
    ]


@pytest.mark.parametrize(
    ("columns", "attribute"),
    [
        ({"genre": ["BR", "PO", "LO"] * 4, "song": list("aabbccddeeff")}, "genre"),
        ({"song": list("aabbccddeeff")}, "song"),
        ({"label": list("xyxyxyxyxyxy")}, "label"),
        ({}, "id"),
    ],
)
def test_inter_negatives_differ_and_do_not_repeat(columns, attribute):
    table = clips(**columns)
    rows = inter_rows(table, list(range(2, 12)), 4, seed=0)
    for own, chosen in zip(range(2, 12), rows):
        assert len(set(chosen)) == 4
        assert min(chosen) >= 2
        assert all(
            getattr(table[other], attribute) != getattr(table[own], attribute) for other in chosen
        )
    assert (rows == inter_rows(table, list(range(2, 12)), 4, seed=0)).all()
    assert len(np.unique(inter_rows(table, list(range(12)), 1, seed=1))) > 3


def test_impossible_negatives_are_refused_in_a_sentence():
    with pytest.raises(UserError, match="n_inter"):
        inter_rows(clips(label=["x"] * 12), list(range(12)), 1, seed=0)
    with pytest.raises(UserError, match="chunks"):
        derangements(np.random.default_rng(0), 1, 1)
    with pytest.raises(UserError, match="square"):
        reorder_picture(torch.zeros(3, 8, 8), torch.zeros(1, 8, dtype=torch.long))


def test_codes_of_a_picture_move_as_patches_of_their_grid():
    """Against a plain loop over rows and columns."""
    rows, columns, side = 6, 6, 3
    codes = torch.randint(0, 99, (2, rows * columns), generator=torch.Generator().manual_seed(0))
    orders = torch.from_numpy(derangements(np.random.default_rng(3), 8, 9)).reshape(2, 4, 9)
    moved = reorder_grid(codes, orders, (rows, columns))
    assert moved.shape == (2, 4, rows * columns)
    high, wide = rows // side, columns // side
    for b in range(2):
        for n in range(4):
            for r in range(rows):
                for c in range(columns):
                    source = int(orders[b, n, (r // high) * side + c // wide])
                    i = (source // side) * high + r % high
                    j = (source % side) * wide + c % wide
                    assert moved[b, n, r * columns + c] == codes[b, i * columns + j]


@pytest.mark.parametrize(
    ("intra", "chunks", "grid"),
    [("tokens", 8, (4, 4)), ("tokens", 9, (4, 4)), ("sequence", 17, (4, 4))],
)
def test_chunks_that_do_not_fit_the_codes_are_refused(intra, chunks, grid):
    settings = Negatives(intra=intra, chunks=chunks, n_intra=1, n_inter=0)
    with pytest.raises(UserError, match=f"negatives.chunks is {chunks}"):
        check_chunks(settings, grid)
    check_chunks(settings.model_copy(update={"chunks": 4}), grid)
