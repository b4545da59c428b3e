// Shows the prepared image, the bars and the maps. Texts are set as text, never as markup.

const MOST_TILES = 64; // of one stage
const element = (id) => document.getElementById(id);

/** A new element with classes and text, put into `parent`. */
function add(parent, name, classes = '', text = '') {
  const made = document.createElement(name);
  made.className = classes;
  made.textContent = text;
  parent.append(made);
  return made;
}

/** Fraction of 1 as a percentage, never rounded up to 100. */
function percent(share) {
  return share > 0.9995 ? '> 99.9 %' : `${(100 * share).toFixed(1)} %`;
}

// Colours of -1, 0 and 1, and halfway: orange below zero, blue above, dark at zero.
const SCALE = [[255, 226, 190], [213, 94, 0], [11, 17, 24], [0, 114, 178], [205, 238, 255]];

/** Colour of a value in [-1, 1], as [red, green, blue]. */
function colour(value) {
  const place = 2 * (Math.min(1, Math.max(-1, value)) + 1);
  const below = Math.min(3, Math.floor(place)), part = place - below;
  return SCALE[below].map((start, index) => start + part * (SCALE[below + 1][index] - start));
}

const COLOURS = Array.from({length: 511}, (_, index) => colour((index - 255) / 255)).map((rgb) => rgb.map(Math.round));

/** Paint values / most, each in [-1, 1], on a canvas of as many pixels; places(i) is the pixel of value i. */
function paintValues(canvas, values, most, places = (index) => index) {
  const context = canvas.getContext('2d');
  const image = context.createImageData(canvas.width, canvas.height);
  for (let index = 0; index < values.length; index++) {
    const [red, green, blue] = COLOURS[255 + Math.round(255 * values[index] / most)];
    const place = 4 * places(index);
    image.data[place] = red;
    image.data[place + 1] = green;
    image.data[place + 2] = blue;
    image.data[place + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Largest distance from zero; 1 instead of 0, as it is a divisor. */
function extent(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most || 1;
}

/** Paint an image that the network sees, light on black or in colour, on a canvas of as many pixels; all black without one. */
function paintInput(canvas, pixels) {
  const context = canvas.getContext('2d'), size = canvas.width * canvas.height;
  const image = context.createImageData(canvas.width, canvas.height);
  for (let place = 0; place < size; place++) {
    for (let plane = 0; pixels && plane < 3; plane++) {
      image.data[4 * place + plane] = pixels[(place + plane * size) % pixels.length];
    }
    image.data[4 * place + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function showInput(pixels, label) {
  paintInput(element('input'), pixels);
  element('input').setAttribute('aria-label', label);
}

/** Make the list of bars; returns a function that shows probabilities, or none. */
function makeBars(classes) {
  const list = element('bars');
  const longest = Math.max(...classes.map((name) => [...name].length));
  list.style.setProperty('--names', longest > 2 ? `minmax(3rem, ${Math.min(9, 0.6 * longest + 0.5)}rem)` : '1.5rem');
  const rows = classes.map((name) => {
    const item = add(list, 'li');
    add(item, 'span', 'name', name).title = name;
    const fill = add(add(item, 'span', 'track'), 'span', 'fill');
    return {item, fill, share: add(item, 'span', 'share')};
  });
  return (probabilities) => {
    const best = probabilities ? largest(probabilities) : -1;
    rows.forEach(({item, fill, share}, index) => {
      item.classList.toggle('best', index === best);
      fill.style.transform = `scaleX(${probabilities ? probabilities[index] : 0})`;
      share.textContent = probabilities ? percent(probabilities[index]) : '–';
    });
  };
}

/** Show the class in large letters, smaller for a long name. */
function showClass(name, sure) {
  const place = element('class'), length = [...name].length;
  place.textContent = name;
  place.style = '';
  place.className = `${length > 12 ? 'sentence' : length > 3 ? 'word' : ''} ${sure ? '' : 'unsure'}`;
}
