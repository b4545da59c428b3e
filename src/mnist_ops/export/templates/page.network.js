// Compiles the folded operations of the network to steps that can be run. A map is a channel, row by row; all maps of a
// step are in one array, one after another. Sums are in double precision; weights are float32, as they were trained.

/** The numbers of a base64 text of float32, lowest byte first. */
function decodeFloats(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({length: bytes.length / 4}, (_, index) => view.getFloat32(4 * index, true));
}

/** A step: an operation with its shapes [channels, height, width], the step it reads, and a buffer for its output. */
function makeStep(operation, input, shape, values) {
  const size = shape[0] * shape[1] * shape[2];
  const take = ([start, end]) => values.subarray(start, end);
  const step = {operation, input, shape, output: new Float64Array(size), compute: COMPUTE[operation.type]};
  for (const name of ['weights', 'bias', 'scale', 'shift']) {
    if (operation[name]) step[name] = take(operation[name]);
  }
  if (operation.padding) step.padded = paddedRoom(operation, input.shape);
  return step;
}

/** A buffer for the padded input: padded with -Infinity for a maximum, else 0. */
function paddedRoom({type, padding}, [channels, height, width]) {
  const shape = [channels, height + 2 * padding, width + 2 * padding];
  return {shape, output: new Float64Array(shape[0] * shape[1] * shape[2]).fill(type === 'MaxPool' ? -Infinity : 0)};
}

/** The output side of a window operation for an input side of `size`. */
function sideAfter({kernel, stride, padding = 0, dilation = 1}, size) {
  return Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

function shapeAfter(operation, [channels, height, width]) {
  switch (operation.type) {
    case 'Convolution': return [operation.channels, sideAfter(operation, height), sideAfter(operation, width)];
    case 'MaxPool': case 'AvgPool': return [channels, sideAfter(operation, height), sideAfter(operation, width)];
    case 'AdaptiveAvgPool': return [channels, operation.size, operation.size];
    default: return [channels, height, width];
  }
}

/** The steps of the operations, in the order of computation; the body of a sum comes before the sum. */
function compile(operations, first, values) {
  const steps = [];
  let last = first;
  for (const operation of operations) {
    const body = operation.type === 'Sum' ? compile(operation.body, last, values) : [];
    const step = makeStep(operation, last, shapeAfter(operation, last.shape), values);
    step.body = body.length ? body[body.length - 1] : last;
    steps.push(...body, step);
    last = step;
  }
  return steps;
}

/** The input of a step, padded if needed. */
function readable(step) {
  if (!step.padded) return step.input;
  const {padded, operation: {padding}, input: {shape: [channels, height, width], output}} = step;
  const [, tall, wide] = padded.shape;
  for (let row = 0; row < channels * height; row++) {
    const channel = Math.floor(row / height);
    const start = (channel * tall + row - channel * height + padding) * wide + padding;
    padded.output.set(output.subarray(row * width, (row + 1) * width), start);
  }
  return padded;
}

/** Cross-correlation, as PyTorch's Conv2d: each output map is its bias plus the sum over the input maps of its group. */
function convolution(step) {
  const {operation: {kernel, groups, stride, dilation}, output, weights, bias, shape: [channels, height, width]} = step;
  const source = readable(step);
  const members = source.shape[0] / groups;
  const add = kernel === 3 && stride === 1 && dilation === 1 ? addThreeByThree : addWindows;
  for (let channel = 0; channel < channels; channel++) {
    const start = channel * height * width;
    output.fill(bias[channel], start, start + height * width);
    const first = Math.floor(channel * groups / channels) * members;
    for (let member = 0; member < members; member++) {
      add(step, source, start, first + member, (channel * members + member) * kernel * kernel);
    }
  }
}

/** The common 3x3 kernel: its nine weights and the window's last six pixels are in variables, so that each step along a
 *  row reads only three pixels; several times as fast as the general loops. */
function addThreeByThree({output, weights, shape: [, height, width]}, source, start, channel, kernel) {
  const input = source.output, wide = source.shape[2];
  const a = weights[kernel], b = weights[kernel + 1], c = weights[kernel + 2];
  const d = weights[kernel + 3], e = weights[kernel + 4], f = weights[kernel + 5];
  const g = weights[kernel + 6], h = weights[kernel + 7], i = weights[kernel + 8];
  let place = start;
  for (let y = 0; y < height; y++) {
    let above = (channel * source.shape[1] + y) * wide, here = above + wide, below = here + wide;
    let p = input[above++], q = input[above++], s = input[here++], t = input[here++];
    let u = input[below++], v = input[below++];
    for (const end = place + width; place < end; place++) {
      const r = input[above++], k = input[here++], w = input[below++];
      output[place] += a * p + b * q + c * r + d * s + e * t + f * k + g * u + h * v + i * w;
      p = q; q = r; s = t; t = k; u = v; v = w;
    }
  }
}

function addWindows({operation, output, weights, shape: [, height, width]}, source, start, channel, kernel) {
  const {kernel: side, stride, dilation} = operation;
  const input = source.output, wide = source.shape[2];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const weight = weights[kernel + row * side + column];
      for (let y = 0, place = start; y < height; y++) {
        let from = (channel * source.shape[1] + y * stride + row * dilation) * wide + column * dilation;
        for (let x = 0; x < width; x++, place++, from += stride) output[place] += weight * input[from];
      }
    }
  }
}

/** Each window of each map through `fold`, which takes (so far, element); the result through `finish`. */
function windows(step, start, fold, finish) {
  const {operation: {kernel, stride, dilation = 1}, output, shape: [channels, height, width]} = step;
  const {shape: [, tall, wide], output: input} = readable(step);
  for (let channel = 0, place = 0; channel < channels; channel++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, place++) {
        const corner = (channel * tall + y * stride) * wide + x * stride;
        let found = start;
        for (let row = 0; row < kernel; row++) {
          for (let column = 0; column < kernel; column++) {
            found = fold(found, input[corner + (row * wide + column) * dilation]);
          }
        }
        output[place] = finish(found);
      }
    }
  }
}

function maxPool(step) {
  windows(step, -Infinity, (most, value) => value > most ? value : most, (most) => most);
}

/** The zeros of the padding count. */
function averagePool(step) {
  const count = step.operation.kernel ** 2;
  windows(step, 0, (sum, value) => sum + value, (sum) => sum / count);
}

/** Window i of an axis runs from floor(i * in / size) up to ceil((i + 1) * in / size). */
function adaptivePool({operation: {size}, input: {shape: [channels, height, width], output: input}, output}) {
  const begin = (index, side) => Math.floor(index * side / size);
  const end = (index, side) => Math.ceil((index + 1) * side / size);
  for (let place = 0; place < channels * size * size; place++) {
    const x = place % size, y = Math.floor(place / size) % size, channel = Math.floor(place / size / size);
    let sum = 0, count = 0;
    for (let row = begin(y, height); row < end(y, height); row++) {
      for (let column = begin(x, width); column < end(x, width); column++, count++) {
        sum += input[(channel * height + row) * width + column];
      }
    }
    output[place] = sum / count;
  }
}

function rectify({input: {output: input}, output}) {
  for (let place = 0; place < output.length; place++) output[place] = input[place] > 0 ? input[place] : 0;
}

function affine({input: {output: input}, output, scale, shift, shape: [channels, height, width]}) {
  for (let channel = 0, place = 0; channel < channels; channel++) {
    for (const end = place + height * width; place < end; place++) {
      output[place] = scale[channel] * input[place] + shift[channel];
    }
  }
}

function sum({input: {output: input}, body: {output: added}, output}) {
  for (let place = 0; place < output.length; place++) output[place] = input[place] + added[place];
}

const COMPUTE = {Convolution: convolution, Affine: affine, Sum: sum, ReLU: rectify, MaxPool: maxPool,
  AvgPool: averagePool, AdaptiveAvgPool: adaptivePool};

/** The network of the page's data. run(pixels) takes a prepared image, a byte per pixel, and returns the logits; every
 *  step keeps its maps until the next run. An image of another size is refused, as it would mix with the one before.
 *  side: of an image, in pixels. */
function makeNetwork({input: [channels, side, width], operations, values}) {
  const first = {shape: [channels, side, width], output: new Float64Array(channels * side * width)};
  const steps = compile(operations, first, decodeFloats(values));
  const run = (pixels) => {
    if (pixels.length !== first.output.length) {
      throw new RangeError(`The image has ${pixels.length} pixels, but the network takes ${first.output.length} pixels `
        + `(${side}×${width}).`);
    }
    first.output.set(pixels);
    for (const step of steps) step.compute(step);
    return steps[steps.length - 1].output;
  };
  return {steps, run, side, channels, last: steps[steps.length - 1]};
}

/** Logits -> probabilities that sum to 1; Bridle 1990. */
function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** How unlike the images of training an image is; above 0 it is of no class. A row of `hidden` is a unit: the weight of
 *  each feature, which the last step reads, and its bias; `output` weighs the units and the doubt, and ends in a bias. */
function oddness({hidden, output, leastDoubt}, features, probability) {
  const doubt = Math.log(leastDoubt + 1 - probability), units = hidden.length;
  return hidden.reduce((sum, weights, unit) => {
    const value = weights.reduce((total, weight, index) => total + weight * (index < features.length ? features[index] : 1), 0);
    return sum + output[unit] * Math.max(0, value);
  }, output[units] * doubt + output[units + 1]);
}

/** Index of the largest; the first of equal ones, as PyTorch's argmax. */
function largest(values) {
  let best = 0;
  for (let index = 1; index < values.length; index++) if (values[index] > values[best]) best = index;
  return best;
}
