// Shows the stages of the network: each convolution, pool or sum with the affine maps and rectifications after it, its
// maps as tiles, and below each map its filter.

const HEADINGS = {
  Convolution: ({kernel, groups, dilation}) =>
    `Convolution ${kernel}×${kernel}${dilation > 1 ? `, dilated ${dilation}` : ''}${groups > 1 ? `, ${groups} groups` : ''}`,
  MaxPool: ({kernel}) => `Maximum of ${kernel}×${kernel}`,
  AvgPool: ({kernel}) => `Mean of ${kernel}×${kernel}`,
  AdaptiveAvgPool: ({size}) => size === 1 ? 'Mean of each map' : `Means, ${size}×${size} a map`,
  Sum: () => 'Sum with the input',
};

/** Steps in groups: {heading, filters: the convolution or null, last: the step whose maps are shown, rectified}. */
function stagesOf(steps) {
  const stages = [];
  for (const step of steps) {
    const {type} = step.operation;
    if (HEADINGS[type]) {
      const heading = HEADINGS[type](step.operation);
      stages.push({heading, filters: type === 'Convolution' ? step : null, last: step,
        rectified: false});
    } else if (stages.length) {
      const stage = stages[stages.length - 1];
      stage.last = step;
      stage.rectified ||= type === 'ReLU';
    }
  }
  return stages;
}

/** The kernels of one output channel, beside and below each other with a line between, on a canvas. */
function paintFilter(canvas, step, channel, most) {
  const {kernel} = step.operation;
  const size = step.weights.length / step.shape[0], members = size / kernel ** 2;
  const columns = Math.ceil(Math.sqrt(members)), gap = kernel > 1 && members > 1 ? 1 : 0;
  canvas.width = columns * (kernel + gap) - gap;
  canvas.height = Math.ceil(members / columns) * (kernel + gap) - gap;
  const places = (index) => {
    const member = Math.floor(index / kernel ** 2), within = index % kernel ** 2;
    const row = Math.floor(member / columns) * (kernel + gap) + Math.floor(within / kernel);
    return row * canvas.width + member % columns * (kernel + gap) + within % kernel;
  };
  // The root of each weight's size, so that the many small ones are visible beside the largest.
  const roots = step.weights.subarray(channel * size, (channel + 1) * size)
    .map((weight) => Math.sign(weight) * Math.sqrt(Math.abs(weight) / most));
  paintValues(canvas, roots, 1, places);
}

/** One line of tiles in `parent`; its show() paints the maps of the last run, its dim() none. */
function makeStage({heading, filters, last, rectified}, parent, names) {
  const [channels, height, width] = last.shape, shown = Math.min(channels, MOST_TILES);
  const row = add(parent, 'div', 'stage');
  const sort = add(row, 'p', 'sort', heading);
  const cut = shown < channels ? `, the first ${shown} shown` : '';
  add(sort, 'small', '', `${channels} maps of ${height}×${width}${rectified ? ', after ReLU' : ''}${cut}`);
  const maps = add(row, 'div', 'maps');
  maps.style.setProperty('--wide', Math.min(shown, 24));
  maps.style.setProperty('--narrow', Math.min(shown, shown > 16 ? 12 : 8));
  maps.setAttribute('role', 'img');
  const most = filters ? extent(filters.weights) : 1;
  const tiles = Array.from({length: shown}, (_, channel) => {
    const tile = add(maps, 'div', 'tile');
    const map = Object.assign(add(tile, 'canvas', 'map'), {width, height});
    const filter = filters ? add(tile, 'canvas', 'filter') : null;
    if (filter) paintFilter(filter, filters, channel, most);
    if (names) add(tile, 'span', '', names[channel]);
    return {map, filter};
  });
  return {row, show: () => showStage(last, tiles, maps, heading), dim: () => dimStage(last, tiles, maps, heading)};
}

/** How bright a filter is whose map is as strong as this, in [0, 1]. */
function brightness(strength) {
  return `brightness(${0.4 + 0.6 * strength})`;
}

/** Paint each map on the scale of the whole stage; a filter is as bright as its map is strong. */
function showStage({shape: [channels, height, width], output}, tiles, maps, heading) {
  const size = height * width, most = extent(output);
  const strengths = tiles.map(({map}, channel) => {
    const values = output.subarray(channel * size, (channel + 1) * size);
    paintValues(map, values, most);
    return extent(values) / most;
  });
  tiles.forEach(({filter}, channel) => { if (filter) filter.style.filter = brightness(strengths[channel]); });
  maps.setAttribute('aria-label', `${heading}: ${channels} maps, number ${largest(strengths) + 1} the strongest`);
}

function dimStage({shape: [channels, height, width]}, tiles, maps, heading) {
  const nothing = new Float64Array(height * width);
  for (const {map, filter} of tiles) {
    paintValues(map, nothing, 1);
    if (filter) filter.style.filter = brightness(0);
  }
  maps.setAttribute('aria-label', `${heading}: ${channels} maps, dark, nothing is drawn yet`);
}

/** All stages; show(settled) paints them, lighting up one after another when a drawing has just been finished. */
function makeStages(network, classes) {
  const stages = stagesOf(network.steps);
  const made = stages.map((stage, index) =>
    makeStage(stage, element('stages'), index === stages.length - 1 ? classes : null));
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  return {
    dim: () => made.forEach((stage) => stage.dim()),
    show: (settled) => made.forEach((stage, index) => {
      stage.show();
      if (!settled || still.matches) return;
      const from = {opacity: 0.15, filter: 'brightness(2)'}, to = {opacity: 1, filter: 'none'};
      stage.row.lastChild.animate([from, to], {duration: 350, delay: 90 * index, fill: 'backwards', easing: 'ease-out'});
    }),
  };
}
