// A picture from the camera, where there is one: shown in the pad, and taken by pressing the button again.

const NO_CAMERA = {NotAllowedError: 'The camera may not be used: this page has no permission.',
  NotFoundError: 'No camera was found.', NotReadableError: 'The camera is in use by another program.'};

/** Let the button show the camera in `video`, then pass the middle of its picture, as shown, to `take`. -> ends that. */
function listenToCamera(button, video, take, tell) {
  const named = button.textContent, devices = navigator.mediaDevices;
  let opening = null; // the last opening, which another or an end makes void
  const end = () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    opening = video.srcObject = null;
    video.hidden = true;
    button.textContent = named;
  };
  const open = async () => {
    const mine = opening = {};
    const stream = await devices.getUserMedia({video: {facingMode: 'environment'}});
    if (opening !== mine) return stream.getTracks().forEach((track) => track.stop());
    video.srcObject = stream;
    await video.play();
    video.hidden = false;
    button.textContent = 'Take it';
    tell('The camera is on. Press the button again to take the picture, or Escape.');
  };
  const shoot = async () => {
    const {videoWidth, videoHeight, clientWidth, clientHeight} = video;
    const scale = Math.min(videoWidth / clientWidth, videoHeight / clientHeight);
    const [width, height] = [clientWidth, clientHeight].map((side) => Math.round(side * scale));
    take(await createImageBitmap(video, (videoWidth - width) >> 1, (videoHeight - height) >> 1, width, height));
  };
  const look = async () => {
    button.hidden = !(await devices.enumerateDevices()).some(({kind}) => kind === 'videoinput');
  };
  button.addEventListener('click', () => (video.hidden ? open() : shoot()).catch((error) => {
    end();
    tell(NO_CAMERA[error.name] ?? `The camera cannot be used: ${error.message}`);
  }));
  if (devices?.getUserMedia) { // not without a secure context
    look();
    devices.addEventListener('devicechange', look);
  }
  return end;
}
