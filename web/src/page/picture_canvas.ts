/** Pictures on canvases. A page that the classifier is put on may forbid pictures from memory, but no canvas. */

const LONGEST = 1024;
// What each is to show. A large picture is ready after a small one that was chosen later.
const wanted = new WeakMap<HTMLCanvasElement, Blob>();

/**
 * Show the first frame of a picture, upright, at most `longest` pixels long; false where the browser cannot, or where the
 * canvas is to show another one by now.
 */
export async function showPicture(canvas: HTMLCanvasElement, picture: Blob, longest = LONGEST): Promise<boolean> {
  wanted.set(canvas, picture);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(picture);
  } catch {
    // The model says why, in words.
    return false;
  }
  if (wanted.get(canvas) !== picture) {
    bitmap.close();
    return false;
  }
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  drawSmooth(canvas, bitmap);
  bitmap.close();
  return true;
}

/** Draw a picture over a whole canvas. */
export function drawSmooth(canvas: HTMLCanvasElement, picture: CanvasImageSource): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
}
