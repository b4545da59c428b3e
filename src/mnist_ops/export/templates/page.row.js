// Shows several characters: their text, a row of what the network saw, and a box around each in the drawing.

/** Show the text in letters as large as its longest line allows. */
function showText(text, sure) {
  showClass(text, sure);
  element('class').style.setProperty('--letters', Math.max(...text.split('\n').map((line) => [...line].length)));
  element('class').classList.add('number');
}

/** The characters in a row, each with its name, its probability and any doubt. */
function showRow(characters) {
  element('characters').replaceChildren();
  for (const {seen, name, share, verdict} of characters) {
    const item = add(element('characters'), 'li', verdict === 'read' ? '' : 'doubtful');
    const canvas = Object.assign(add(item, 'canvas'), {width: SIDE, height: SIDE});
    canvas.setAttribute('aria-hidden', true);
    paintInput(canvas, seen);
    add(item, 'b', '', name);
    add(item, 'span', '', percent(share));
    if (verdict !== 'read') add(item, 'em', '', verdict);
  }
}

/** A box around each character, whose box is in a picture that lies in the middle of the canvas at that scale. */
function paintBoxes(context, characters, {width, height}, scale) {
  const across = (context.canvas.width - width * scale) / 2, down = (context.canvas.height - height * scale) / 2;
  context.lineWidth = context.canvas.height / 140;
  context.lineJoin = 'round';
  for (const {box: {top, left, bottom, right}, verdict} of characters) {
    context.strokeStyle = verdict === 'read' ? '#0072b2' : '#d55e00';
    context.strokeRect(across + left * scale, down + top * scale, (right - left) * scale, (bottom - top) * scale);
  }
}
