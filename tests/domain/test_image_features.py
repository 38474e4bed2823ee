"""Features are fixed numbers of a picture: trained models hold on to them."""

from __future__ import annotations

import numpy as np

from photo_popularity.domain.image_features import image_features

EDGES, TEXTURES = 7 * 7 * 4 * 9, 9 * 59


def picture(*, stripes: str = "none") -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    pixels = np.full((1, 96, 96, 3), 200, dtype=np.uint8)
    if stripes == "upright":
        pixels[:, :, np.arange(96) // 6 % 2 == 0] = 20
    elif stripes == "level":
        pixels[:, np.arange(96) // 6 % 2 == 0] = 20
    return pixels


def test_every_picture_has_2423_finite_numbers() -> None:
    features = image_features(np.concatenate([picture(), picture(stripes="level")]))
    assert features.shape == (2, 2423)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_a_plain_picture_has_no_edges_one_texture_and_one_colour() -> None:
    features = image_features(picture())[0]
    edges, textures, colours = np.split(features, [EDGES, EDGES + TEXTURES])
    assert not edges.any()
    assert sorted(set(textures.tolist())) == [0.0, 1.0]
    assert (textures.sum(), colours.sum()) == (9.0, 2.0)


def test_upright_and_level_stripes_have_edges_in_their_own_direction() -> None:
    # nine directions of 20 degrees; the change runs across upright stripes (0) and down level ones (90)
    for stripes, direction in (("upright", 0), ("level", 4)):
        edges = image_features(picture(stripes=stripes))[0, :EDGES].reshape(-1, 9).sum(axis=0)
        assert int(edges.argmax()) == direction


def test_a_picture_has_the_same_features_alone_and_in_a_batch() -> None:
    batch = np.concatenate([picture(stripes="upright"), picture(), picture(stripes="level")])
    assert np.array_equal(image_features(batch)[2:], image_features(batch[2:]))
