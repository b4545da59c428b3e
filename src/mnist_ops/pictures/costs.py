"""What reading each candidate of a row as each class costs: less for whole characters, by the logits and by the shape.

For digits a small layer, the same for every network, knows the shape of each: that a narrow 0 is half of one, and what
a network makes of a 0 with the 1 beside it."""

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnist_ops.pictures.candidates import Candidate

MOST_MARGIN = 100.0  # between the two largest logits; beyond it says no more
# Of `features`, fitted to numbers made of MNIST's training digits by tools/path_weights.py.
WEIGHTS = (5.22, 1.71, 1.24, -3.81, 2.58, -4.58, 0.15, 2.32, 9.54, 0.32, -2.79, 2.43, -0.15, -0.15, -0.54, -5.42, 2.43,
           3.85, 0.18, -0.57)
UNITS = 40  # of the layer
# Its numbers, see `layered` and `unpacked`: fitted to 10,200 numbers of MNIST's training digits by the loss that
# tools/path_layer.py has, but with other draws (docs/log.md); that tool makes a layer of its kind, not these numbers.
LAYER = (
    "i7ohPofASL6LPn5BRD/mQE8/FD5MwBpAIb6vvE6+2b7oP4g+Bj9PvpK/1D0cQBs/GcD9P5A/pb2Nv6s/KL5hvdy9E8B3vwPAHsHBvmNA5L8ovi4/"
    "3j6XPFu9QL4CPzq/Fb+svoY9uD91P4c/q7+CQA5Ai78IwIy/TsBkPoM9vL92wA3A9j6+QNs+uECcQII/5EDcv5Y9qz26vzJArr/9wOQ+vT5Zvwk9"
    "gj7Rvs0/2r/sPg/ALEC1v1zAVD0yQBe/nkBRPu3BBkAtQKBAHL/XQLQ/h73IO7k/x7+HP0DA+T/JvxjAmz/tv/U/or4fPvG90j/KPx+/EMBjPYi+"
    "g8COP+Q+6MBoPxvAh77QPpbAJkAaviU9jz+YvwJAG8CPP7i+ND9OQH0/bb/IwJE/DkAcwG3A2D68vge+tr8IvyVA4D/0wYQ/CL+0P7O9tr6bPkC9"
    "Ej1hvTS/lD9GPu0+0b6mPyq+nT+avcG/hD4Xv44/OD+Kv3o+eDxpvhNAnz+nP+RAQb4HwDLAzz2Kv/w/j724OrS+C7+WPl5Aq76Gvok/rruwvwzA"
    "4b9eQDo+Qj8MPxtA0z6Kukq+GL84P2I/3L/ivGy9KUEzPlS/0j9Yvf28MD7pPYU+5L8iPp+9/j+0P+8+8j8jP4w/1L9KPY3Atz/0vz893T6JvL4/"
    "n7+JQdW8XUCcwDi/UsDcvZA9mbtlv80/XMCjvwS/Sb7Uv6s8kr4RPyu9LT92v7Y/lj8xPxe+ib2NP3PAUD+sv2JBuD6eQPe+oz6avxpAYr5bPaq+"
    "JUD+v8G/oL1tP4S9pD9Ivw2+tj9Pv188Or8qQN/AMMCMvWk/gD6IPKi/vUBev1zAYcCcvuc/9D7SvNC8Gj5hPx7AGj5TvzM9nz8DvoK/hUBIvsw/"
    "2T4ZwBq/pb6yPvC9r79zQM+8ZsDaQGu8Yz87vwu9GD9Av6I9MD3qv3ZANMBRvQy/VjzbvY0+ML7Rvro+Bb37PzY+T8Agv7K/xL2Vv3K/5j4jP8pA"
    "Hj3Rv6lAqr7Dv+g+S71RvTy/Fr+MP15AErwdP6e+ir94P29Akj6WP4E/Zb/bv/4+hj+FPNi+T8CKPmw9UkFJP1dAl0DQPkg//D5EvVk8ND5tvy5A"
    "4L28Pqk+Eb6vPpY/KkBqv+u9A8BYP4m/ez9ev/g7tL9bP2lAXj96Qa0+vkDrwJy/Vr25P1c9EjxKv48+1j9GwC0/sr+fvz3AQEADPyW/0T+Qv4W+"
    "v79wPwq98D3XPmJA/z9gwJfACr4gQfnAgj6gwDS/lT03vTW8xD8fwOy+4L6cv94/ij4UQAFAA8CHvx/ADz6RwCNAnD3MvQS+rT/8PIm/HUFIPItA"
    "s79PvihArr2APcO9hj49PynAvb7GPV8+i8CpP9K+rz8hv9C/rz9oPne/6D9yvya92D4Ov4g+kj9WQKi9UL2SP0A87b+TPw+9Sbs7PYq/NkCrP+49"
    "vL3NvpI/NL/Uvvu/iD9lP6y9E8CPQA4/l717P1M/hj2+v2K+GD6eQOm+ebv6vre/mj2lPCa/7D//v8m/ND+LvuA+sb8QP2G/FMC7P30/h76FwBFA"
    "Nb/1PZo/HsDXvyO+KEGxPs4+97++PD6/tr6zvNA8qj6OvQ49b79RP5s+D8Dyv7O/+T46vv8//z7wP+s/wz/cu/S9Br9hwFJAIT/JwBY/oTwmPgu/"
    "s78cPx489zxRPwy/IEDJvz4/hL7av7k/8D+Uvxm/Or+hPwG/D8CtPuO+tj1qPrK/l8D1vilAob7iwDY9Lb9UwM8/rb0ZPLw/FT85wN0/+77cvytA"
    "4T6PP3rAEsBMv5W+MECsPna/2r4Rvfm+HkBEQD0+YsCiva8/vb+aO9S/o76PPGE9yb4WQHs/g7+LPgO+N0AZwC8+Vb5wP8E/4b4NvzrAoT/Cv2g9"
    "y788v55A+T/7wDu+6cB+QPu+i8B+P669mD0bvo2/QkAcQCi/9D4uvjXAQT8Ovte+kj/bvlxA3z/sP0o/6z2lP5jAEsEFwBvB9j4dwc9A1T60P4s/"
    "Y71PPRRAg7+PwFXAhz4PwFY/xr87QKa/4z86P6O+777NPuK/UL/pvQK/pr+JPya/TMGWPTK9McAUvqC/Mj+jvJY9AbsdPZm/6LsNvTa/zT98vxRA"
    "A0DlvxfA2j7TvoU/nL//PgG+lL8KQBdAMsBYwXs+h7+iv1E+4D4av+c9Pz0IwC9ASMBywK8+oT+mPoG/mz91Pdc/ar/JPATAWT9uP9u/iL3JvhhA"
    "9D87v4nAtT2IQLU+Kr0SQHm/aT0jvNO/uj+Mvu2/uD42PZs/+79PP0c+GcDlvSg/7j6Lv94/qD3RvOs/2j6MvzC/2EAOP9k+HcALvNpA6z6sOy69"
    "qz/cvNS/jb8gPyO/6r+KP/W/vjzBP9G/fz8EvrI/rD7Lv5s8UD+IP7E/F76tQPs+p0DRwAW9Zz+9v+c8Cj5VPlM/bT8QP4w+mD3pu3k/zT/BPoa+"
    "fD+0v/C+lL95v2i/8j1XPjBA2b6zv9C/B7/8v7U/gL6iPAw/MTxxPcK+sj9bwEHAsL2Zv0E/GcBKwAw/YT9lvyM+MkCEwCc/UL8PPiq/UD/iPik/"
    "B0B7Poq/AEAUvpo/176EvNm7Fb+BPgTAGTwMPlA9ZD8Av5W/n78kQLO/mz6avyA/ub7QPs+9Cr88wM6/AcATQXw/M0BZQGk/9UCVPyO8AL1lv4C+"
    "DL5lv60+hr6fwB4/DD8/P6a+d7+FP1s94z75Pt+/RzwiwJBABsHAQAS/6T9Tvtc/Ez26wJI9Tjz0vBPAdsBAQG2+3D/Bvso/q74KQBPA0b2yvvq9"
    "S76BP+O/kkClPfK/aL+4vxY/rsHnPrO/WkCrPTzAIz8DvRU9CD9uvyi/yb/GPjq/kb8oQDK+u7/Vv4tAvT/rvXHA3r/UPtq8Y78gwK0/jr0dQeY/"
    "6j/MQCi+OsDkP0C9Z7xBv3a/+D67wNs/wj5Gvyq/mD/dv7A/6z6VPyM/Ez8ywJC+Xj38v9++iL+VPUE/mD48QBrArz6Cv8I+wjxdPY6/PD3lvorA"
    "ET4MvwC/Lr+JPwtABcARwI6+wr/nP9Q/QT+Hva2/ZkB7QGjABMGnvqpATsAzvhJAF7/vO409JMAZQH/A0b55vsy9ZD5PvZG/8b+Ev3c/n7+iPyBA"
    "178ovSW8Uj/BPlK/Gj8EwiW+wsAYvgvAur/dvTi82TxsP2W/7L5EQLK+Sr8HwJI/dr6vP08/UT+TvsM/779awNY/QL3oPqy/IkBFwM2/krzfQKXA"
    "L78gP4C/iz3pujG/qT8iwIQ/bj6Hv1M/lz+PP48/AcDlP7G/vb6Zv26/GD7FvsY9Zz6Dv4Q+cr5yvrk+or8Jvx48AD+fvn09zr4dP92+pr7GPjm/"
    "ZT6jvp4+x76Gvny95z7wPW2/RL2IPvO8P7+fv7I+4r2zvr0+g78SP3Y9Cb+QPuY+wb9rv8S+pb68vkM9az4xvU0+2j2Bvue+3j7HPeK+LT5jvn6+"
    "zL46Ps+8kL8Ev8k+nLz1vNo+mr67PtA9VD50vu49Zr7mPsK+CD9fvea+kDyFPEO/C787vrG8+L4NvUA8db9zPmi+C7/vPsA+1b00vsI+xb4WvgW/"
    "Dz9evji+Wj31Pjs+R7/sPma/g732PR2/0L7Zvgs+jz6hvu8+d74Gv3O/Bb8Fv8G+nL5Hv86+Sz5Svb49ib3iPa++oT4EPlc+nb4LPp++I72Cvys9"
    "Dr9kvwM+nD5pPhG/Tj4bvqO9d76dPua+rL6UPj4+3bz4PiG+hL6GPR8+F7/svTw9Mb/Evpk+SL9Fvik/nT26voI8o76WPg+/+76tvoy+Ab8RP2C/"
    "7r65vuE+B7+2vBg+gT44PlU+lj6cu5q+wr6jPiG9i76Fvma+lr4/vhG/qL6Ovbq9oT07Ptm+8j1IvSY9Wb2PPrW+5L7pvuQ+Eb6cvkq/AT++vuK+"
    "9b4yPhI/w74VPxU7Mb7vvRq/lL4Zv1C9tz6zvbo+Sr5+vpG+UT5Fv+e+MT6uvp2+8b4cvRc9Hj/RPMm+7L2Mvjw+Kr77Pia//75Av/Q+oz6Yvu+8"
    "zT4HPyu+SL1aPHE9Iz+kvom+xL7/PC4+Ab/dPWA9qb4Ov7M9Hr/Vvre9uLw5v0c+x76xv80+Xjw0vzi9Ij5/ve6+iz7TveS+jb4NPu29Br8wvTW+"
    "nT7Mvoc+pTwNvpO+qL7FPIu+mL1GP+G8qz4rvvm+2rxKPrC/1r7avbG+Xr4vPpk9fjx0v8A9Kj6jvrS+A72GvgI9uT18via/Hb3xvQ6/jj6iPpw+"
    "W77dPki9TD48O6a+ib4avwo/tj77vjE+5j0dv7y+WL0av4q+QT4Wvei+lD6XvrO+uT7Jvgy+W76uPiM/ir5PPgs9P78Yv7k+Y74Dv50+PD3PPvO8"
    "LL6KPTO9wz65PVy+Wb6QPo+9sL8svp8+prn9vb2/gT/PPh6/nT6nv7C/QD6/v46+gTw3O1q/OD/xvz3ABz7JPo8/ab43vqs/SD6Kvhq+dD6Mvwo/"
    "GT8=")


def features(row: Sequence[Candidate], logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """logits (N, classes) -> (N, features) of a row's candidates, in the order of `WEIGHTS`.

    A large logit, next to the row's largest, speaks for a character: a network is sure of much that is not one."""
    highest = np.sort(logits, 1)[:, -2:].astype(np.float64)
    sure = highest[:, -1] / max(float(logits.max()), 1e-6)
    margin = np.minimum(highest[:, -1] - highest[:, 0], MOST_MARGIN)
    return np.array([(
        1, max(0, one.width - 0.8), max(0, one.width - 1.1), max(0, 0.7 - one.height), max(0, 0.9 - one.height),
        max(0, 0.3 - one.width), one.joined, max(0, one.gap + 0.1) if one.joined else 0, one.cut,
        max(0, one.crossings - 1), max(0, 0.25 - one.uncut), 1 - share, largest, lead, one.width, one.height,
        max(0, 1 - one.height) ** 2, max(0, one.width - 0.9) ** 2, one.joined > 0, min(one.uncut, 1),
    ) for one, share, largest, lead in zip(row, sure, highest[:, -1], margin, strict=True)], np.float64)


def costs(row: Sequence[Candidate], logits: NDArray[np.float32], classes: Sequence[str]) -> NDArray[np.float64]:
    """logits (N, classes) -> (N, classes), for a row's candidates; softmax of their negative is the reading."""
    values = features(row, logits)
    chances = logits - logits.max(1, keepdims=True).astype(np.float64)
    chances -= np.log(np.exp(chances).sum(1, keepdims=True))
    if tuple(classes) != tuple("0123456789"):
        return np.asarray((values @ WEIGHTS)[:, None] + chances.max(1, keepdims=True) - chances)
    shares = logits / max(float(logits.max()), 1e-6)
    return layered(np.concatenate([values, shares], 1), chances, unpacked(LAYER))


def unpacked(packed: str) -> NDArray[np.float64]:
    """The numbers of a text: the upper halves of float32, lowest byte first, as base64."""
    halves = np.frombuffer(base64.b64decode(packed), "<u2")
    return (halves.astype("<u4") << 16).view("<f4").astype(np.float64)


def layered(inputs: NDArray[np.float64], chances: NDArray[np.float64], layer: NDArray[np.float64]
            ) -> NDArray[np.float64]:
    """inputs (N, inputs): features, and each logit as a share of the row's largest; log probabilities (N, classes) ->
    costs (N, classes).

    `layer` (numbers,): of each unit the weight of every input and the bias; of each class the weight of every unit and
    the bias; the weight of every input for all classes; that of the log probabilities."""
    count, classes = inputs.shape[1], chances.shape[1]
    hidden, output, direct = np.split(layer[:-1], np.cumsum([UNITS * (count + 1), classes * (UNITS + 1)]))
    into, out = hidden.reshape(UNITS, -1), output.reshape(classes, -1)
    units = np.maximum(inputs @ into[:, :-1].T + into[:, -1], 0)
    return np.asarray(-(units @ out[:, :-1].T + out[:, -1] + (inputs @ direct)[:, None] + layer[-1] * chances))
