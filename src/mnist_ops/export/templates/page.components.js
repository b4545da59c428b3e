// Connected parts of a mask, as data/components.py; pixels touch by sides and corners.

/** {labels, found}: labels 0 outside, from 1 in the order in which the parts begin; found[i] is the part labelled i + 1,
 *  {label, top, left, bottom, right, area, contact}: its box, ends exclusive, its pixels, those on the border. */
function components({values, width, height}) {
  const labels = new Int32Array(values.length), found = [];
  for (let place = 0; place < values.length; place++) {
    if (values[place] && !labels[place]) found.push(fill({values, width, height}, labels, place, found.length + 1));
  }
  return {labels, found};
}

/** Give `label` to all that is connected with `start`, the part's first pixel. */
function fill({values, width, height}, labels, start, label) {
  const part = {label, top: height, left: width, bottom: 0, right: 0, area: 0, contact: 0};
  const open = [start];
  labels[start] = label;
  while (open.length) {
    const place = open.pop(), row = Math.floor(place / width), column = place % width;
    part.top = Math.min(part.top, row);
    part.bottom = Math.max(part.bottom, row + 1);
    part.left = Math.min(part.left, column);
    part.right = Math.max(part.right, column + 1);
    part.area++;
    if (row === 0 || column === 0 || row === height - 1 || column === width - 1) part.contact++;
    for (let y = Math.max(0, row - 1); y <= Math.min(height - 1, row + 1); y++) {
      for (let x = Math.max(0, column - 1); x <= Math.min(width - 1, column + 1); x++) {
        const next = y * width + x;
        if (values[next] && !labels[next]) {
          labels[next] = label;
          open.push(next);
        }
      }
    }
  }
  return part;
}

/** The longer side of a part's box. */
function longerSide({top, left, bottom, right}) {
  return Math.max(bottom - top, right - left);
}

/** Whether a part touches the picture's border for a quarter of its length or more. */
function liesAlongBorder(part) {
  return 4 * part.contact >= longerSide(part);
}

/** Whether a part looks like the frame: along the border for a quarter of its length, or across it all. */
function isFrame(part, {width, height}) {
  const tall = part.bottom - part.top, wide = part.right - part.left;
  const across = (10 * tall >= 9 * height && 8 * wide <= tall) || (10 * wide >= 9 * width && 8 * tall <= wide);
  return liesAlongBorder(part) || across;
}

/** Whether a part is much wider than high. */
function isBar({top, left, bottom, right}) {
  return right - left >= 6 * (bottom - top);
}

/** Whether a part's box lies within the other's and touches no side of it. */
function liesWithin(part, other) {
  return other.top < part.top && other.left < part.left && part.bottom < other.bottom && part.right < other.right;
}

/** Whether the two boxes have pixels in common. */
function overlaps(part, other) {
  return part.top < other.bottom && other.top < part.bottom && part.left < other.right && other.left < part.right;
}

/** Whether a part lies above a body as the flag of a 5 does that does not touch. */
function isFlagOf(part, body) {
  const tall = part.bottom - part.top, width = part.right - part.left, wide = body.right - body.left;
  const over = Math.min(part.right, body.right) - Math.max(part.left, body.left), gap = body.top - part.bottom;
  return width >= 2 * tall && 3 * wide >= 2 * width && 2 * width >= wide && 2 * over >= width
    && 40 * part.area >= body.area && gap >= 0 && 3 * gap <= 2 * (body.bottom - body.top);
}

/** The thin lines of ruled or squared paper, without the strokes that cross them, as a mask. */
function ruled(mask) {
  const thin = Math.floor(Math.max(mask.width, mask.height) / 128) + 2, turned = transposed(mask);
  const tall = transposed(longRuns(turned, 2 * thin)), wide = longRuns(mask, 2 * thin);
  const across = linesOf(mask, tall, thin).values, down = transposed(linesOf(turned, transposed(wide), thin)).values;
  return mapped(mask, (_, place) =>
    across[place] && (down[place] || !tall.values[place]) || down[place] && !wide.values[place] ? 1 : 0);
}

/** The lines along the mask's rows, with what crosses them if it is as thin as they are. */
function linesOf(mask, tall, thin) {
  const {width, height} = mask, runs = longRuns(mask, Math.floor(Math.max(width, height) / 16));
  const cuts = mapped(runs, (value, place) => value && tall.values[place]), thick = longRuns(cuts, thin + 1).values;
  const {labels, found} = components(mapped(runs, (value, place) => value && !thick[place] ? 1 : 0));
  const lines = found.filter((part) => part.area <= thin * (part.right - part.left));
  const lengths = lines.map((part) => part.right - part.left);
  const enough = 2 * width >= Math.max(width, height) && lengths.filter((length) => 2 * length >= width).length >= 2;
  if (!lengths.includes(width) && !enough) {
    return mapped(mask, () => 0);
  }
  const rows = new Uint8Array(height);
  for (const part of lines) {
    if (4 * (part.right - part.left) >= width || part.left === 0 || part.right === width) rows.fill(1, part.top, part.bottom);
  }
  const counted = new Set(lines.filter((part) => rows.subarray(part.top, part.bottom).every((row) => row))
    .map((part) => part.label));
  return mapped(mask, (_, place) => counted.has(labels[place]) ? 1 : 0);
}

/** The pixels in row runs of at least that length. */
function longRuns({values, width, height}, least) {
  const kept = new Int32Array(values.length);
  for (let row = 0; row < height; row++) {
    for (let start = row * width, end = start; start < (row + 1) * width; start = end + 1) {
      for (end = start; end < (row + 1) * width && values[end]; end++);
      if (end - start >= least) kept.fill(1, start, end);
    }
  }
  return {values: kept, width, height};
}
