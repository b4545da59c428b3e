"""NAME_prepare in C makes of a camera's frames the images that Python makes: pixel for pixel for "resize", nearly for
"mnist", within the memory that the header counts, and on a processor whose int has 16 bits."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_ops.arch.layers import Conv
from mnist_ops.cli.main import main
from mnist_ops.data.source import read
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.errors import DataError
from mnist_ops.export.c import camera
from mnist_ops.export.c.code import Naming
from mnist_ops.export.c.compiler import STRICT
from mnist_ops.pictures.prepare import is_mnist, prepare
from mnist_ops.run.trained import save_trained
from tests.small_networks import trained
from tests.test_c import SANITIZED

NETWORK = "#include <stdint.h>\n#define TINY_PIXELS {}\n"  # all that the pair needs of the network's header
SHAPES = [(1, 28, 28), (1, 32, 32), (3, 28, 28), (3, 20, 20)]
BOARD = """
#include "network_prepare.h"
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

static uint8_t frame[%(bytes)d], image[TINY_PIXELS];
static uint32_t work[TINY_PREPARE_WORK(%(width)d, %(height)d)];

static void put(uint8_t one)
{
    loop_until_bit_is_set(UCSR0A, UDRE0);
    UDR0 = one;
}

int main(void)
{
    int i;

    UCSR0B = 1 << TXEN0;
    for (i = 0; i < %(bytes)d; i++)
        frame[i] = (uint8_t)((uint32_t)i * i %% 251);
    put('0' + tiny_prepare(frame, %(width)d, %(height)d, image, work));
    for (i = 0; i < TINY_PIXELS; i++) {
        put(i %% 16 == 0 ? '\\n' : ' '); /* the simulator shows no longer lines whole */
        put('A' + image[i] / 16);
        put('A' + image[i] %% 16);
    }
    put('\\n');
    cli();
    sleep_mode();
    return 0;
}
"""


def naming(shape, how):
    return Naming("tiny", "network", "A test", (), "0", ("a", "b"), shape, how)


def written(place, shape, how):
    """The pair in the folder, without a network."""
    source = camera.render_prepare(naming(shape, how))
    (place / "network.h").write_text(NETWORK.format(np.prod(shape)))
    (place / "network_prepare.h").write_text(source.header)
    (place / "network_prepare.c").write_text(source.code)
    return place


def images_of(place, frames, shape, how, flags=("-O1",)):
    """(N, H, W) or (N, H, W, 3) -> what is returned of each, and the images."""
    program = c_compiler()
    if program is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    height, width = frames.shape[1:3]
    written(place, shape, how)
    (place / "main.c").write_text(camera.HARNESS.format(stem="network", name="tiny", upper="TINY", height=height,
                                                        width=width, bytes=frames[0].size))
    subprocess.run([*program, *STRICT, "-Wconversion", "-Wno-sign-conversion", *flags, "main.c", "network_prepare.c",
                    "-o", "main"], cwd=place, check=True)
    said = subprocess.run([place / "main"], cwd=place, check=True, input=frames.tobytes(), capture_output=True).stdout
    table = np.frombuffer(said, np.uint8).reshape(len(frames), -1)
    return table[:, 0], table[:, 1:].reshape(len(frames), *shape[1:], *([3] if shape[0] == 3 else []))


def noise(count, height, width, shape, seed=0):
    random = np.random.default_rng(seed)
    whole = random.integers(0, 256, (count, height, width, *([3] if shape[0] == 3 else [])), dtype=np.uint8)
    whole[::2] = np.where(whole[::2] > 127, 255, 0)
    return whole


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=st.sampled_from(SHAPES), height=st.integers(1, 300), width=st.integers(1, 300))
def test_a_stretched_frame_is_pythons_pixel_for_pixel(tmp_path, shape, height, width):
    frames = noise(4, height, width, shape)
    returned, found = images_of(tmp_path, frames, shape, "resize", SANITIZED)
    wanted = [prepare(frame, "resize", shape[1]) for frame in frames]
    assert returned.tolist() == [0] * 4
    np.testing.assert_array_equal(found, [one if shape[0] == 1 else np.moveaxis(one, 0, -1) for one in wanted])


@pytest.mark.parametrize(("height", "width"), [(8, 24), (28, 28), (56, 1000), (4096, 3), (1, 1)])
def test_nearest_neighbours_are_pythons_where_a_centre_lies_between_two(tmp_path, height, width):
    frames = noise(3, height, width, (1, 28, 28))
    found = images_of(tmp_path, frames, (1, 28, 28), "resize")[1]
    np.testing.assert_array_equal(found, [prepare(frame, "resize") for frame in frames])


def page(digit, size, *, light=False):
    """A digit drawn half as high as a sheet of that height and width, with a shadow across."""
    large = np.asarray(Image.fromarray(digit).resize((size[0] // 2, size[0] // 2))) > 100
    ink = np.zeros(size)
    ink[size[0] // 4:, size[1] // 4:][:len(large), :len(large)] = large
    paper = np.linspace(150, 230, size[1])[None] * (1 - 0.75 * ink)
    return (255 - paper if light else paper).round().astype(np.uint8)


@pytest.mark.parametrize("light", [False, True], ids=["dark on light", "light on dark"])
@pytest.mark.parametrize("size", [(60, 80), (120, 160), (240, 320)], ids=str)
def test_a_character_is_found_and_drawn_nearly_as_by_python(tmp_path, size, light):
    frames = np.stack([page(digit, size, light=light) for digit in read("digits").test.images[:20]])
    returned, found = images_of(tmp_path, frames, (1, 28, 28), "mnist", SANITIZED)
    wanted = np.stack([prepare(frame, "mnist") for frame in frames])
    assert returned.tolist() == [0] * 20
    assert np.abs(found.astype(int) - wanted).mean() < 10
    correlations = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(found, wanted, strict=True)]
    assert min(correlations) > 0.75  # one moved by a pixel
    assert np.median(correlations) > 0.96


def test_images_of_mnist_and_their_negatives_come_through_unchanged(tmp_path):
    images = np.stack([prepare(page(one, (120, 160)), "mnist") for one in read("digits").test.images[:40]])
    images = images[[is_mnist(one) for one in images]]
    assert len(images) > 5
    frames = np.concatenate([images, 255 - images])
    returned, found = images_of(tmp_path, frames, (1, 28, 28), "mnist", SANITIZED)
    assert not returned.any()
    np.testing.assert_array_equal(found, np.concatenate([images, images]))


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(height=st.integers(1, 140), width=st.integers(1, 140), seed=st.integers(0, 99))
def test_no_frame_reads_or_writes_beyond_its_memory(tmp_path, height, width, seed):
    frames = noise(6, height, width, (1, 28, 28), seed)
    frames[1] = 7
    frames[2] = np.where(np.indices((height, width)).sum(0) % 5 == 0, 255, 0)
    frames[3] = frames[3] // 8 + 100
    frames[4, height // 3:, width // 2] = 255
    assert set(images_of(tmp_path, frames, (1, 28, 28), "mnist", SANITIZED)[0].tolist()) <= {0, 1}


def test_a_frame_without_ink_is_refused_and_leaves_the_image(tmp_path):
    frames = np.full((1, 90, 120), 200, np.uint8)
    with pytest.raises(DataError):
        prepare(frames[0], "mnist")
    returned, image = images_of(tmp_path, frames, (1, 28, 28), "mnist")
    assert (returned.tolist(), image.any()) == ([1], False)


@pytest.mark.parametrize(("shape", "how"), [*((shape, "resize") for shape in SHAPES), ((1, 28, 28), "mnist")])
def test_the_memory_that_the_card_states_is_the_headers(tmp_path, shape, how):
    program = c_compiler()
    if program is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    sizes = [(160, 120), (320, 240), (28, 28), (33, 47)]
    lines = "".join(f'    printf("%lu\\n", 4ul * TINY_PREPARE_WORK({width}, {height}));\n' for width, height in sizes)
    written(tmp_path, shape, how)
    (tmp_path / "main.c").write_text(f'#include <stdio.h>\n#include "network_prepare.h"\nint main(void)\n{{\n{lines}'
                                     "    return 0;\n}\n")
    subprocess.run([*program, "-std=c99", "main.c", "-w", "-o", "main"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True).stdout
    assert [camera.work_bytes(naming(shape, how), *size) for size in sizes] == list(map(int, said.split()))


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 16, 16), (3, 12, 12)], ids=str)
def test_an_int_of_16_bits_changes_no_pixel(tmp_path, shape):
    if missing := [name for name in ("avr-gcc", "simavr") if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}; Debian packages gcc-avr, avr-libc and simavr")
    height, width = 45, 70
    count = height * width * shape[0]
    written(tmp_path, shape, "resize")
    (tmp_path / "main.c").write_text(BOARD % {"height": height, "width": width, "bytes": count})
    subprocess.run(["avr-gcc", "-mmcu=atmega1284p", "-Os", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "main.c",
                    "network_prepare.c", "-o", "firmware"], cwd=tmp_path, check=True)
    told = subprocess.run(["simavr", "-m", "atmega1284p", "-f", "16000000", "firmware"], cwd=tmp_path, check=True,
                          capture_output=True, text=True, timeout=300)
    values = re.findall(r"([A-P]{2})\b", told.stdout + told.stderr)
    found = [16 * (ord(one[0]) - 65) + ord(one[1]) - 65 for one in values]
    frame = (np.arange(count) ** 2 % 251).astype(np.uint8).reshape(height, width, *([3] if shape[0] == 3 else []))
    wanted = prepare(frame, "resize", shape[1])
    assert found == (wanted if shape[0] == 1 else np.moveaxis(wanted, 0, -1)).ravel().tolist()


@pytest.mark.parametrize("how", ["mnist", "resize"])
def test_the_preparation_is_written_beside_the_pair_and_said_in_the_card(tmp_path, monkeypatch, how):
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    monkeypatch.chdir(tmp_path)
    save_trained(tmp_path, replace(trained((Conv(10, kernel=28),)), prepare=how, dataset="digits"))
    assert main(["export", "model.safetensors", "--to", "c", "--prepare", "--float"]) == 0
    assert sorted(path.name for path in (tmp_path / "mnist_ops_c").iterdir()) == [
        "example_main.c", "mnist_ops.c", "mnist_ops.c.md", "mnist_ops.h", "mnist_ops_prepare.c", "mnist_ops_prepare.h"]
    card = (tmp_path / "mnist_ops_c" / "mnist_ops.c.md").read_text()
    assert "static uint32_t work[MNIST_OPS_PREPARE_WORK(160, 120)];" in card
    work = camera.work_bytes(naming((1, 28, 28), how), 160, 120)
    assert f"plus {work:,} bytes of the caller for a frame of 160x120, and the frame" in card
    assert main(["export", "model.safetensors", "--to", "arduino", "--prepare"]) == 0


def test_a_preparation_that_differs_is_not_written(tmp_path, monkeypatch, capsys):
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    monkeypatch.chdir(tmp_path)
    save_trained(tmp_path, replace(trained((Conv(10, kernel=28),)), dataset="digits"))
    whole = camera.render_prepare
    monkeypatch.setattr(camera, "render_prepare", lambda given: replace(
        whole(given), code=whole(given).code.replace("columns[x]]", "columns[SIDE - 1 - x]]")))
    assert main(["export", "model.safetensors", "--to", "c", "--prepare"]) == 1
    assert "mnist_ops_prepare makes other images than mnist-ops of 20 of 20 frames; nothing was written" in " ".join(
        capsys.readouterr().err.split())
    assert not (tmp_path / "mnist_ops_c").exists()


def test_only_the_formats_in_c_have_it(capsys):
    assert main(["export", "default", "--to", "onnx", "--prepare"]) == 2
    assert "--prepare need --to c or arduino; found --to onnx" in capsys.readouterr().err
