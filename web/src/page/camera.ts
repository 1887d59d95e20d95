/** The camera: its stream, and why there is none. */

// The rear camera of a phone; where there is one camera only, that one. More pixels would only cost time.
const WANTED = { video: { facingMode: { ideal: "environment" }, width: { ideal: 640 }, height: { ideal: 480 } }, audio: false };

/**
 * Ask for the camera and show it in a video.
 *
 * @param isWanted whether it is wanted there still: it may take long until a visitor has allowed it and it has begun.
 * @returns undefined where it is not; then it is off again.
 */
export async function openCamera(video: HTMLVideoElement, isWanted: () => boolean): Promise<MediaStream | undefined> {
  // Undefined where the page is not on https, whatever the types say.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (!devices) throw new DOMException("The page is not secure.", "SecurityError");
  const stream = await devices.getUserMedia(WANTED);
  try {
    // The video may show another one by now, which was asked for later.
    if (isWanted()) {
      video.srcObject = stream;
      await video.play();
      if (isWanted()) return stream;
    }
  } catch (error) {
    closeCamera(video, stream);
    // One that was asked for later took its place.
    if (isWanted()) throw error;
    return undefined;
  }
  closeCamera(video, stream);
  return undefined;
}

/** Let go of the camera: its light goes off. */
export function closeCamera(video: HTMLVideoElement, stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
  if (video.srcObject === stream) video.srcObject = null;
}

/** The key of the sentence that says why there is no camera. */
export function cameraProblem(error: unknown): string {
  if (!window.isSecureContext) return "web_camera_insecure";
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "web_camera_refused";
  return name === "NotFoundError" || name === "OverconstrainedError" ? "web_camera_missing" : "web_camera_taken";
}

/** What a video shows now, as a picture file. */
export async function takePicture(video: HTMLVideoElement): Promise<Blob> {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Wait for the next frame of a video, and at least until `since` + `least`, in milliseconds of `performance.now()`. */
export async function nextFrame(video: HTMLVideoElement, since: number, least: number): Promise<void> {
  const rest = since + least - performance.now();
  if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
  await new Promise((resolve) => {
    // Firefox has it since 132.
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}
