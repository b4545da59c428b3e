"""The C code where it is not at home: other compilers, standards, and processors of other widths and orders."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mnist_ops.arch.layers import Layer
from mnist_ops.arch.zoo import MODELS, named_network
from mnist_ops.export.c import board, code, int8
from mnist_ops.export.c.board import BOARDS
from mnist_ops.export.c.int8 import IntegerNetwork
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from tests.every_kind import EVERYTHING
from tests.small_networks import images, trained

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
NETWORKS = {"every kind of layer": (EVERYTHING, 8), "early-pool-wide": (MODELS["early-pool-wide"], 8),
            "every kind, 4 bits": (EVERYTHING, 4), "separable-micro, 4 bits": (MODELS["separable-micro"], 4),
            "every kind, 2 bits": (EVERYTHING, 2)}


@dataclass(frozen=True)
class Processor:
    """One that qemu emulates as a user's program without a system's library."""

    compiler: str
    flags: tuple[str, ...]
    emulator: str
    package: str
    order: str = "<"  # of bytes, as numpy writes it


PROCESSORS = {
    "Cortex-M0": Processor("arm-none-eabi-gcc", ("-mcpu=cortex-m0", "-mthumb"), "qemu-arm", "gcc-arm-none-eabi"),
    "Cortex-M4": Processor("arm-none-eabi-gcc", ("-mcpu=cortex-m4", "-mthumb"), "qemu-arm", "gcc-arm-none-eabi"),
    "RV32": Processor("riscv64-unknown-elf-gcc", ("-march=rv32im", "-mabi=ilp32", "-Wl,--no-relax"), "qemu-riscv32",
                      "gcc-riscv64-unknown-elf"),
    "MIPS, big-endian": Processor("mips-linux-gnu-gcc", ("-mno-abicalls", "-fno-pic", "-G0", "-static"), "qemu-mips",
                                  "gcc-mips-linux-gnu", ">"),
}
BARE = """
#include "network.h"

#if defined(__arm__)
enum { EXIT = 1, READ = 3, WRITE = 4 };
static long call(long number, long a, long b, long c)
{
    register long r7 __asm__("r7") = number, r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
    return r0;
}
#elif defined(__riscv)
enum { EXIT = 93, READ = 63, WRITE = 64 };
static long call(long number, long a, long b, long c)
{
    register long a7 __asm__("a7") = number, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
}
#else
enum { EXIT = 4001, READ = 4003, WRITE = 4004 };
static long call(long number, long a, long b, long c)
{
    register long v0 __asm__("v0") = number, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    __asm__ volatile("syscall" : "+r"(v0) : "r"(a0), "r"(a1), "r"(a2) : "a3", "memory");
    return v0;
}
#endif

void *memcpy(void *to, const void *from, __SIZE_TYPE__ count);
void *memcpy(void *to, const void *from, __SIZE_TYPE__ count)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    while (count--)
        *out++ = *in++;
    return to;
}

static uint8_t image[TINY_PIXELS];
static struct { int32_t best, logits[TINY_CLASSES]; uint16_t probabilities[TINY_CLASSES]; } answer;

void begin(void);
void begin(void)
{
    while (call(READ, 0, (long)image, sizeof image) == sizeof image) {
        answer.best = tiny_predict(image, answer.logits);
        tiny_probabilities(answer.logits, answer.probabilities);
        call(WRITE, 1, (long)&answer, sizeof answer);
    }
    call(EXIT, 0, 0, 0);
}
"""
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


def written(place: Path, layers: tuple[Layer, ...], bits: int = 8) -> IntegerNetwork:
    """The integer network of those layers, and its C code in the folder."""
    network = quantize(stages(fold_trained(trained(layers))), images(40, seed=1), bits=bits)
    source = code.render(network, code.Naming(
        stem="network", name="tiny", title="A test", about=("Made by a test.",), version="0",
        classes=tuple(map(str, range(int8.logits(network, images(1)).shape[1]))), input_shape=(1, 28, 28)))
    (place / "network.h").write_text(source.header)
    (place / "network.c").write_text(source.code)
    return network


COMPILERS = [
    ("gcc", "-std=c99", "-O2"), ("gcc", "-std=c11", "-O0"), ("g++", "-std=c++11", "-O0"), ("g++", "-std=c++17", "-O2"),
    ("clang", "-std=c99", "-O2"), ("clang", "-std=c11", "-O0"), ("clang++", "-std=c++17", "-O0"),
    *((f"arm-none-eabi-{program}", standard, level, f"-mcpu=cortex-{kind}", "-mthumb")
      for kind in ("m0", "m4") for program, standard, level in [
          ("gcc", "-std=c99", "-O2"), ("gcc", "-std=c11", "-O0"), ("g++", "-std=c++17", "-Os")]),
    ("avr-gcc", "-std=gnu99", "-Os", "-mmcu=atmega1284p"), ("avr-gcc", "-std=c99", "-Os", "-mmcu=atmega1284p"),
    ("avr-g++", "-std=gnu++17", "-Os", "-mmcu=atmega1284p"),
]


@pytest.mark.parametrize("command", COMPILERS, ids=" ".join)
def test_no_compiler_warns(command, tmp_path):
    """A sketch in C++ includes the source."""
    program, standard, *flags = command
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    for name, (layers, bits) in NETWORKS.items():
        (place := tmp_path / name).mkdir()
        written(place, layers, bits)
        (place / "sketch.cpp").write_text('#include "network.h"\n#include "network.c"\n')
        source = "sketch.cpp" if "++" in standard else "network.c"
        subprocess.run([program, standard, *flags, *WARNINGS, "-c", source, "-o", "out.o"], cwd=place, check=True)


@pytest.mark.parametrize(("layers", "bits"), NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(("processor", "level"), [(name, "-O2") for name in PROCESSORS] + [("Cortex-M0", "-O0")])
def test_every_processor_computes_the_integers_of_the_reference(processor, level, layers, bits, tmp_path):
    processor = PROCESSORS[processor]
    if missing := [name for name in (processor.compiler, processor.emulator) if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}; Debian packages {processor.package} and qemu-user")
    network, shown = written(tmp_path, layers, bits), images(10)
    (tmp_path / "main.c").write_text(BARE)
    alone = ["-fomit-frame-pointer", "-ffreestanding", "-nostdlib", "-Wl,-e,begin"]
    subprocess.run([processor.compiler, *processor.flags, "-std=gnu99", level, *alone, "main.c", "network.c", "-lgcc",
                    "-o", "program"], cwd=tmp_path, check=True)
    said = subprocess.run([processor.emulator, "program"], cwd=tmp_path, check=True, capture_output=True,
                          input=shown.tobytes(), timeout=300).stdout
    logits = int8.logits(network, shown)
    classes = logits.shape[1]
    kind = np.dtype([("best", "i4"), ("logits", "i4", classes), ("probabilities", "u2", classes),
                     *[("", "u1", 2)] * (classes % 2)]).newbyteorder(processor.order)
    found = np.frombuffer(said, kind)
    np.testing.assert_array_equal(found["best"], logits.argmax(1))
    np.testing.assert_array_equal(found["logits"], logits)
    np.testing.assert_array_equal(found["probabilities"], int8.probabilities(network, logits))


@pytest.mark.parametrize("kind", BOARDS.values(), ids=BOARDS)
def test_a_board_without_a_library_runs_it_and_counts_its_steps(kind):
    """Of loops of this network a compiler makes calls of memset."""
    if missing := [name for name in (board.COMPILER, board.EMULATOR) if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}; Debian packages gcc-arm-none-eabi and qemu-system-arm")
    network = quantize(stages(fold_trained(trained(named_network("blocks:4-4s2d-4dr")))), images(40, seed=1))
    shown = images(3)
    logits = int8.logits(network, shown)
    classes = tuple(map(str, range(logits.shape[1])))
    for fast, level in ((True, "-O2"), (False, "-Os")):
        pair = code.render(network, code.Naming(board.NAME, board.NAME, "A test", (), "0", classes, (1, 28, 28),
                                                fast=fast))
        found = board.run_on_board(pair, shown, kind, level)
        np.testing.assert_array_equal(found.logits, logits)
        assert sum(found.steps) == pytest.approx(found.instructions, rel=0.03)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_an_int_of_16_bits_changes_no_number_and_the_tables_stay_in_flash(bits, tmp_path):
    if missing := [name for name in ("avr-gcc", "simavr") if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}; Debian packages gcc-avr, avr-libc and simavr")
    network, shown = written(tmp_path, MODELS["separable-micro"], bits), images(SHOWN)
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
