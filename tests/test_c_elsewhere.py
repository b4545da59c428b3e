"""The C code where it is not at home: as C++, and on a processor whose int has 16 bits."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mnist_ops.arch.layers import Layer
from mnist_ops.arch.zoo import MODELS
from mnist_ops.export.c import code, int8
from mnist_ops.export.c.int8 import IntegerNetwork
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from tests.every_kind import EVERYTHING
from tests.small_networks import images, trained

AVR, SHOWN = "atmega1284p", 3  # 16 KiB of RAM; images that are read there
MAIN = """
#include "network.h"
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <stdio.h>

static const __flash uint8_t images[%d][TINY_PIXELS] = {%s};
static uint8_t image[TINY_PIXELS];

static int put(char c, FILE *file)
{
    (void)file;
    loop_until_bit_is_set(UCSR0A, UDRE0);
    UDR0 = c;
    return 0;
}

static FILE out = FDEV_SETUP_STREAM(put, NULL, _FDEV_SETUP_WRITE);

int main(void)
{
    int n, i;
    int32_t logits[TINY_CLASSES];
    uint16_t probabilities[TINY_CLASSES];

    UCSR0B = 1 << TXEN0;
    stdout = &out;
    for (n = 0; n < %d; n++) {
        for (i = 0; i < TINY_PIXELS; i++)
            image[i] = images[n][i];
        printf("class %%d", tiny_predict(image, logits));
        tiny_probabilities(logits, probabilities);
        for (i = 0; i < TINY_CLASSES; i++)
            printf(" %%ld %%u", (long)logits[i], probabilities[i]);
        printf("\\n");
    }
    cli();
    sleep_mode();
    return 0;
}
"""


def written(place: Path, layers: tuple[Layer, ...]) -> IntegerNetwork:
    """The integer network of those layers, and its C code in the folder."""
    network = quantize(stages(fold_trained(trained(layers))), images(40, seed=1))
    source = code.render(network, code.Naming(
        stem="network", name="tiny", title="A test", about=("Made by a test.",), version="0",
        classes=tuple(map(str, range(int8.logits(network, images(1)).shape[1]))), input_shape=(1, 28, 28)))
    (place / "network.h").write_text(source.header)
    (place / "network.c").write_text(source.code)
    return network


@pytest.mark.parametrize("layers", [MODELS["early-pool"], EVERYTHING], ids=["early-pool", "every kind of layer"])
@pytest.mark.parametrize("standard", ["c++11", "c++17"])
def test_a_sketch_in_cpp_can_include_the_code(layers, standard, tmp_path):
    program = next(filter(shutil.which, ("g++", "clang++")), None)
    if program is None:
        pytest.skip("needs a C++ compiler: neither g++ nor clang++ is here")
    written(tmp_path, layers)
    (tmp_path / "sketch.cpp").write_text('#include "network.h"\n#include "network.c"\n')
    subprocess.run([program, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-c", "sketch.cpp"], cwd=tmp_path,
                   check=True)


def test_an_int_of_16_bits_changes_no_number_and_the_tables_stay_in_flash(tmp_path):
    if missing := [name for name in ("avr-gcc", "simavr") if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}; Debian packages gcc-avr, avr-libc and simavr")
    network, shown = written(tmp_path, MODELS["separable-micro"]), images(SHOWN)
    rows = ",".join("{" + ",".join(map(str, one.ravel().tolist())) + "}" for one in shown)
    (tmp_path / "main.c").write_text(MAIN % (SHOWN, rows, SHOWN))
    warnings = ["-Wall", "-Wextra", "-Werror"]
    subprocess.run(["avr-gcc", f"-mmcu={AVR}", "-DF_CPU=16000000UL", "-Os", "-std=gnu99", *warnings, "main.c",
                    "network.c", "-o", "firmware"], cwd=tmp_path, check=True)
    told = subprocess.run(["simavr", "-m", AVR, "-f", "16000000", "firmware"], cwd=tmp_path, check=True,
                          capture_output=True, text=True, timeout=300)
    lines = re.findall(r"class ([-\d ]+)", told.stdout + told.stderr)
    found = np.array([list(map(int, line.split())) for line in lines])
    logits = int8.logits(network, shown)
    np.testing.assert_array_equal(found[:, 0], logits.argmax(1))
    np.testing.assert_array_equal(found[:, 1::2], logits)
    np.testing.assert_array_equal(found[:, 2::2], int8.probabilities(network, logits))
    sizes = subprocess.run(["avr-size", "firmware"], cwd=tmp_path, check=True, capture_output=True, text=True)
    data = int(sizes.stdout.splitlines()[1].split()[1])  # constants in RAM: the structures and the names of the classes
    assert data < 700
