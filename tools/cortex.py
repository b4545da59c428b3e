"""Builds the exported C for a Cortex-M0, runs it under qemu on test images, and writes what it takes into a page.

    python tools/cortex.py RUN                  figures into docs/microcontroller.md, between its marks
    python tools/cortex.py RUN --images 500     on more test images
    python tools/cortex.py RUN --print          print them instead

RUN is a run folder or a model.safetensors; MNIST must be here. Needs arm-none-eabi-gcc and qemu-system-arm:
apt-get install gcc-arm-none-eabi qemu-system-arm. The board is qemu's BBC micro:bit, a Cortex-M0 with 256 KB of flash
and 16 KB of RAM. Instructions are counted by its timer: with -icount shift=0 each takes one nanosecond.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_ops.data.source import read
from mnist_ops.export.c import code, int8
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.run.trained import TrainedNetwork, load_trained

PAGE = Path(__file__).resolve().parents[1] / "docs" / "microcontroller.md"
MARKED = re.compile(r"(<!-- generated: figures -->\n).*?(<!-- end -->)", re.DOTALL)
LEVELS = ("-Os", "-O2", "-O3")
TICK = 62.5  # instructions: the timer runs at 16 MHz, an instruction takes 1 ns
LOOP = 300_000  # instructions of the loop that the timer is checked with
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-mcpu=cortex-m0", "-mthumb", "-ffunction-sections",
         "-fdata-sections")

LINKER = """\
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 256K  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 16K }
ENTRY(reset)
SECTIONS
{
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
    .data : { start_of_data = .; *(.data*) . = ALIGN(4); end_of_data = .; } > RAM AT > FLASH
    .bss : { start_of_bss = .; *(.bss*) *(COMMON) . = ALIGN(4); end_of_bss = .; } > RAM
    source_of_data = LOADADDR(.data);
    top_of_stack = ORIGIN(RAM) + LENGTH(RAM);
}
"""

# Start, semihosting (a breakpoint that qemu answers), the timer, and a stack whose unused part keeps its paint.
FIRMWARE = """\
#include "network.h"

extern uint32_t source_of_data, start_of_data, end_of_data, start_of_bss, end_of_bss, top_of_stack;
int main(void);
void reset(void);

__attribute__((section(".vectors"), used)) static const struct { void *stack; void (*reset)(void); } vectors = {
    &top_of_stack, reset
};

#define PAINT 0xA5A5A5A5u
#define TIMER(offset) (*(volatile uint32_t *)(0x40008000u + (offset)))

static long host(int call, const void *arguments)
{
    register long r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void reset(void)
{
    uint32_t *from = &source_of_data, *to;
    for (to = &start_of_data; to < &end_of_data;)
        *to++ = *from++;
    for (to = &start_of_bss; to < &end_of_bss;)
        *to++ = 0;
    main();
    host(0x18, (void *)0x20026);
    for (;;)
        ;
}

static long open_file(const char *name, long length, long mode)
{
    const long arguments[3] = { (long)name, mode, length };
    return host(0x01, arguments);
}

static uint32_t ticks(void)
{
    TIMER(0x040) = 1; /* capture into register 0 */
    return TIMER(0x540);
}

static uint8_t image[TINY_PIXELS];
static struct { int32_t best, logits[TINY_CLASSES], instructions, loop, stack; } answer;

/* Paint what lies below the stack in use; -> where that ends. */
static uint32_t *paint(void)
{
    uint32_t *top, *word;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (word = &end_of_bss; word < top; word++)
        *word = PAINT;
    return top;
}

int main(void)
{
    const long images = open_file("images.bin", 10, 1), answers = open_file("answers.bin", 11, 5);
    const long in[3] = { images, (long)image, sizeof image };
    const long out[3] = { answers, (long)&answer, sizeof answer };

    TIMER(0x504) = 0; /* mode: timer */
    TIMER(0x508) = 3; /* 32 bits */
    TIMER(0x510) = 0; /* 16 MHz */
    TIMER(0x000) = 1;
    while (host(0x06, in) == 0) {
        uint32_t start, rounds = LOOP_ROUNDS, *base = paint(), *word = &end_of_bss;

        start = ticks();
        __asm__ volatile(".syntax unified\\n1: subs %0, #1\\n nop\\n bne 1b" : "+l"(rounds) : : "cc");
        answer.loop = (int32_t)(ticks() - start);
        start = ticks();
        answer.best = tiny_predict(image, answer.logits);
        answer.instructions = (int32_t)(ticks() - start);
        while (*word == PAINT)
            word++;
        answer.stack = (int32_t)((uint8_t *)base - (uint8_t *)word);
        host(0x05, out);
    }
    return 0;
}

void *memcpy(void *to, const void *from, unsigned int count);
void *memcpy(void *to, const void *from, unsigned int count)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    while (count--)
        *out++ = *in++;
    return to;
}
"""


@dataclass(frozen=True)
class Measured:
    """One build at work; bytes, and medians over the images."""

    level: str
    object_flash: int    # of the network's own object file
    firmware_flash: int  # with start, semihosting and the compiler's library
    static_ram: int      # of the network: the buffer of its maps
    stack: int           # high-water mark of the stack in predict
    instructions: int    # of one image


def main() -> int:
    """Measure, compare every integer, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--print", action="store_true", dest="only_print")
    given = parser.parse_args()
    trained, source = load_trained(given.run), read("mnist", fetch=False)
    network = quantize(stages(fold_trained(trained)), source.train.images)
    images = source.test.images[:given.images]
    naming = code.Naming("tiny", "network", "Measured", (), "", trained.classes, trained.input_shape)
    pair = code.render(network, naming)
    wanted = int8.logits(network, images)
    rows = [measure(pair, level, images, wanted) for level in LEVELS]
    text = as_text(trained, pair, rows, len(images))
    if given.only_print:
        print(text)
    else:
        page, count = MARKED.subn(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text(encoding="utf-8"))
        if count != 1:
            sys.exit(f"{PAGE}: expected one pair of marks, found {count}")
        PAGE.write_text(page, encoding="utf-8")
    return 0


def measure(pair: code.CCode, level: str, images: NDArray[np.uint8], wanted: NDArray[np.int64]) -> Measured:
    """Build at that level of optimisation, run, compare. Ends the program where an integer differs."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, content in {"network.h": pair.header, "network.c": pair.code, "firmware.c": FIRMWARE,
                           "board.ld": LINKER}.items():
            (place / name).write_text(content, encoding="ascii")
        (place / "images.bin").write_bytes(images.tobytes())
        compile_ = ["arm-none-eabi-gcc", *FLAGS, level, "-c"]
        call([*compile_, "network.c"], place)
        call([*compile_, "-fno-tree-loop-distribute-patterns", f"-DLOOP_ROUNDS={LOOP // 3}", "firmware.c"], place)
        call(["arm-none-eabi-gcc", *FLAGS, "-nostdlib", "-Wl,--gc-sections", "-T", "board.ld", "-o", "firmware.elf",
              "firmware.o", "network.o", "-lgcc"], place)
        call(["qemu-system-arm", "-M", "microbit", "-nographic", "-monitor", "none", "-serial", "none", "-icount",
              "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel", "firmware.elf"], place)
        classes = wanted.shape[1]
        fields = [("best", "<i4"), ("logits", "<i4", classes),
                  *((name, "<i4") for name in ("instructions", "loop", "stack"))]
        answers = np.frombuffer((place / "answers.bin").read_bytes(), np.dtype(fields))
        (text, data, bss), (all_text, all_data, _) = (size(place, name) for name in ("network.o", "firmware.elf"))
    mismatches = int((answers["logits"] != wanted).sum() + (answers["best"] != wanted.argmax(1)).sum())
    if len(answers) != len(images) or mismatches:
        sys.exit(f"{level}: {len(answers)} of {len(images)} images answered, {mismatches} integers differ")
    loop = float(np.median(answers["loop"])) * TICK
    if not 0.99 < loop / LOOP < 1.01:
        sys.exit(f"{level}: the timer counts {loop:,.0f} instructions for a loop of {LOOP:,}")
    return Measured(level, text + data, all_text + all_data, data + bss, int(answers["stack"].max()),
                    round(float(np.median(answers["instructions"])) * TICK))


def size(place: Path, name: str) -> tuple[int, int, int]:
    """Bytes of text with constants, of data, of zeroed data."""
    text, data, bss = call(["arm-none-eabi-size", name], place).splitlines()[1].split()[:3]
    return int(text), int(data), int(bss)


def call(command: list[str], place: Path) -> str:
    """What a program prints; ends this one where that fails."""
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, check=False, text=True, timeout=1800)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not here: apt-get install gcc-arm-none-eabi qemu-system-arm")
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def as_text(trained: TrainedNetwork, pair: code.CCode, rows: list[Measured], images: int) -> str:
    """The table, and what it was measured with."""
    parameters = sum(parameter.numel() for parameter in trained.network.parameters())
    heads = ["", *(f"`{row.level}`" for row in rows)]
    lines = [
        ("flash of the network, bytes", [row.object_flash for row in rows]),
        ("of these tables of numbers, bytes", [pair.table_bytes] * len(rows)),
        ("flash of the whole firmware, bytes", [row.firmware_flash for row in rows]),
        ("RAM for the maps, bytes", [row.static_ram for row in rows]),
        ("most of the stack in use, bytes", [row.stack for row in rows]),
        ("instructions for an image", [row.instructions for row in rows]),
    ]
    table = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}",
             *(f"| {name} | {' | '.join(f'{value:,}' for value in values)} |" for name, values in lines)]
    tools = [call([name, "--version"], Path()).splitlines()[0] for name in ("arm-none-eabi-gcc", "qemu-system-arm")]
    return "\n".join([
        f"Network `{trained.model}`, {parameters:,} parameters, trained on {trained.dataset}, in int8.\nThe first "
        f"{images:,} test images, of which every logit and class equals the reference in Python.", "", *table, "",
        f"Measured with {tools[0]} and {tools[1]}.",
    ])


if __name__ == "__main__":
    sys.exit(main())
