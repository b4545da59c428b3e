"""The Arduino library: built as the Arduino IDE builds it, and run on a simulated board.

In place of the core of the IDE's boards there is here what the sketch uses of it: Serial, micros, delay and PROGMEM."""

import io
import re
import shutil
import subprocess
import zipfile

import pytest

from mnist_ops.arch.layers import AvgPool, Conv, MaxPool, ReLU
from mnist_ops.arch.zoo import MODELS
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.export.c.arduino import export_arduino
from mnist_ops.export.c.example import shown_image
from mnist_ops.export.c.target import Wanted
from mnist_ops.export.proof import Expected
from mnist_ops.export.targets import Subject
from tests.small_networks import images, logits, oddness, trained

FOR_UNO = (Conv(4, kernel=5, stride=2), ReLU(), MaxPool(2), Conv(3), AvgPool(4))
# The flags of the IDE's AVR boards, platform.txt of arduino:avr 1.8.
SHARED = ["-c", "-g", "-Os", "-w", "-ffunction-sections", "-fdata-sections", "-flto", "-DF_CPU=16000000L",
          "-DARDUINO=10607", "-DARDUINO_ARCH_AVR"]
C_FLAGS = [*SHARED, "-std=gnu11", "-fno-fat-lto-objects"]
CPP_FLAGS = [*SHARED, "-std=gnu++11", "-fpermissive", "-fno-exceptions", "-fno-threadsafe-statics",
             "-Wno-error=narrowing"]
LINK = ["-w", "-Os", "-g", "-flto", "-fuse-linker-plugin", "-Wl,--gc-sections"]
CORE = """\
#ifndef Arduino_h
#define Arduino_h
#include <avr/pgmspace.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void setup();
void loop();
unsigned long micros();
void delay(unsigned long);

struct Port {
    void begin(long);
    void print(const char *);
    void print(unsigned long);
    void print(double, int);
    void println(const char *text) { print(text); print("\\n"); }
};
extern Port Serial;
#endif
"""
BOARD = """\
#include <Arduino.h>
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

Port Serial;
static volatile unsigned long overflows;

ISR(TIMER1_OVF_vect) { overflows++; }
unsigned long micros() { return (overflows << 18) + (unsigned long)TCNT1 * 4; }
void delay(unsigned long) { cli(); sleep_mode(); } /* the simulator ends */

void Port::begin(long) { UCSR0B = 1 << TXEN0; }
void Port::print(const char *text)
{
    for (; *text; text++) {
        loop_until_bit_is_set(UCSR0A, UDRE0);
        UDR0 = *text;
    }
}
void Port::print(unsigned long number) { char text[12]; print(ultoa(number, text, 10)); }
void Port::print(double number, int digits) { char text[16]; print(dtostrf(number, 1, digits, text)); }

int main()
{
    TCCR1A = 0;
    TCCR1B = 3; /* 16 MHz / 64 */
    TIMSK1 = 1;
    sei();
    setup();
    for (;;)
        loop();
}
"""


def subject(layers):
    one, pictures = trained(layers), images(6)
    return Subject(one, pictures, Expected(logits(one, pictures), None, oddness(one, pictures)), images(40, seed=1),
                   "6 made images")


def library(layers, name="tiny"):
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    return export_arduino(subject(layers), Wanted(name, "elsewhere")).files[".zip"]


def unpacked(content, place):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(place)


def test_the_zip_has_the_layout_and_the_properties_of_a_library():
    content = library(FOR_UNO, name="signs")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["signs/library.properties", "signs/src/signs.h", "signs/src/signs.c",
                                      "signs/examples/read_image/read_image.ino"]
        properties = dict(line.split("=", 1) for line in archive.read("signs/library.properties").decode().splitlines())
        sketch = archive.read("signs/examples/read_image/read_image.ino").decode()
    assert list(properties) == ["name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
                                "architectures", "includes"]
    assert (properties["name"], properties["includes"], properties["architectures"]) == ("signs", "signs.h", "*")
    assert re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert properties["sentence"] == "Sorts images of 28x28 pixels into 3 classes."
    assert re.fullmatch(r"Compared with PyTorch on 6 made images: \d of 6 in the same class\. Written by mnist-ops\.",
                        properties["paragraph"])
    assert all(properties.values())
    assert "#include <signs.h>" in sketch


def test_the_same_network_gives_the_same_bytes():
    assert library(FOR_UNO) == library(FOR_UNO)


@pytest.mark.parametrize(("layers", "board"), [
    (MODELS["early-pool"], "atmega2560"), (FOR_UNO, "atmega328p")], ids=["on a Mega", "on an Uno"])
def test_the_sketch_reads_its_image_on_the_board(layers, board, tmp_path):
    if missing := [name for name in ("avr-gcc", "avr-g++", "simavr") if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}; Debian packages gcc-avr, avr-libc and simavr")
    unpacked(library(layers), tmp_path / "libraries")
    core, home = tmp_path / "core", tmp_path / "libraries" / "tiny"
    core.mkdir()
    (core / "Arduino.h").write_text(CORE)
    (core / "board.cpp").write_text(BOARD)
    sketch = core / "read_image.ino.cpp"  # as the IDE turns a sketch into C++
    sketch.write_text("#include <Arduino.h>\n" + (home / "examples/read_image/read_image.ino").read_text())
    for source in (sketch, core / "board.cpp", home / "src/tiny.c"):
        program, flags = ("avr-gcc", C_FLAGS) if source.suffix == ".c" else ("avr-g++", CPP_FLAGS)
        subprocess.run([program, *flags, f"-mmcu={board}", f"-I{core}", f"-I{home / 'src'}", source, "-o",
                        core / f"{source.name}.o"], check=True)
    subprocess.run(["avr-gcc", *LINK, f"-mmcu={board}", "-o", core / "firmware", *core.glob("*.o"), "-lm"], check=True)
    told = subprocess.run(["simavr", "-m", board, "-f", "16000000", core / "firmware"], check=True, capture_output=True,
                          text=True, timeout=300)
    one = subject(layers)
    shown = shown_image(one)
    found = re.search(r"class (\S+), probability ([\d.]+) %, (\d+) microseconds", told.stdout + told.stderr)
    assert found
    assert found[1] == str(one.expected.logits[shown.index].argmax())
    assert 1000 < int(found[3]) < 60_000_000
