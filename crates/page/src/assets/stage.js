// The stage: an image with its mask over it, that can be moved, enlarged and compared.

const ZOOM_MAX = 64;
const KEYS = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

/** Makes a canvas of the pixels of labels, each in its class's colour. */
function paint(width, height, color) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = color(i);
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Returns a colour as a word of an image: the bytes are red, green, blue, alpha. */
function word([red, green, blue]) {
  const bytes = new Uint8Array([red, green, blue, 255]);
  return new Uint32Array(bytes.buffer)[0];
}

export class Stage {
  constructor(element, canvas, divider, { onZoom, onPoint }) {
    Object.assign(this, { element, canvas, divider, onZoom, onPoint });
    this.content = null;
    this.opacity = 0.45;
    this.contours = true;
    this.isComparing = false;
    this.line = 0.5;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(element);
    this.listen();
  }

  /** Shows an image: { picture, width, height, labels, colors, shown }. */
  show(content, keepView) {
    this.content = content;
    this.layers();
    if (!keepView) this.fit();
    this.draw();
  }

  /** Paints the mask and its contours anew. */
  layers() {
    const { width, height, labels, colors, shown } = this.content;
    if (!labels) {
      this.mask = this.edges = null;
      return;
    }
    const words = colors.map((color, index) => (index > 0 && shown[index] ? word(color) : 0));
    this.mask = paint(width, height, (i) => words[labels[i]]);
    const isEdge = (i) => {
      const x = i % width, label = labels[i];
      return (x > 0 && labels[i - 1] !== label) || (x + 1 < width && labels[i + 1] !== label) ||
        (i >= width && labels[i - width] !== label) || (i + width < labels.length && labels[i + width] !== label);
    };
    this.edges = paint(width, height, (i) => (words[labels[i]] !== 0 && isEdge(i) ? words[labels[i]] : 0));
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.element.getBoundingClientRect();
    const wasFit = this.isFit;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.width = width;
    this.height = height;
    this.ratio = ratio;
    if (this.content && (wasFit || this.isFit === undefined)) this.fit();
    this.draw();
  }

  /** Shows all of the image. */
  fit() {
    const { width, height } = this.content;
    this.scale = Math.min(this.width / width, this.height / height, 12);
    this.x = (this.width - width * this.scale) / 2;
    this.y = (this.height - height * this.scale) / 2;
    this.isFit = true;
    this.onZoom(this.scale);
  }

  /** Enlarges around a point of the stage, its middle unless given. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    if (!this.content) return;
    const least = Math.min(0.05, this.width / this.content.width);
    const scale = Math.min(ZOOM_MAX, Math.max(least, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.isFit = false;
    this.onZoom(scale);
    this.draw();
  }

  move(x, y) {
    if (!this.content) return;
    const margin = 40;
    this.x = Math.min(this.width - margin, Math.max(margin - this.content.width * this.scale, this.x + x));
    this.y = Math.min(this.height - margin, Math.max(margin - this.content.height * this.scale, this.y + y));
    this.isFit = false;
    this.draw();
  }

  compare(isComparing) {
    this.isComparing = isComparing;
    this.divider.hidden = !isComparing;
    this.divide(this.line);
  }

  /** Puts the line between image and mask at a share of the stage's width. */
  divide(line) {
    this.line = Math.min(1, Math.max(0, line));
    this.divider.style.left = `${this.line * 100}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(this.line * 100)));
    this.draw();
  }

  draw() {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      this.render();
    });
  }

  render() {
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.content) return;
    const scale = this.scale * this.ratio;
    context.setTransform(scale, 0, 0, scale, this.x * this.ratio, this.y * this.ratio);
    context.imageSmoothingEnabled = scale < 2;
    context.imageSmoothingQuality = "high";
    const { picture, width, height } = this.content;
    if (picture) context.drawImage(picture, 0, 0, width, height);
    if (!this.mask) return;
    context.save();
    if (this.isComparing) {
      const left = (this.line * this.width - this.x) / this.scale;
      context.beginPath();
      context.rect(left, 0, width - left, height);
      context.clip();
    }
    context.globalAlpha = this.opacity;
    context.drawImage(this.mask, 0, 0);
    if (this.contours) {
      context.globalAlpha = 1;
      context.drawImage(this.edges, 0, 0);
    }
    context.restore();
  }

  /** Returns the pixel of the image under a point, or null. */
  pixel(event) {
    if (!this.content) return null;
    const box = this.element.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left - this.x) / this.scale);
    const y = Math.floor((event.clientY - box.top - this.y) / this.scale);
    const { width, height } = this.content;
    return x >= 0 && y >= 0 && x < width && y < height ? [x, y] : null;
  }

  listen() {
    const { element, divider, pointers } = this;
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => {
      if (event.target === divider) return;
      element.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
      element.classList.add("moving");
    });
    element.addEventListener("pointermove", (event) => {
      this.onPoint(this.pixel(event));
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const other = [...pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
      if (other) {
        const box = element.getBoundingClientRect();
        const apart = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY) || 1;
        this.zoom(apart(event) / apart(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
      } else {
        this.move(event.clientX - before.clientX, event.clientY - before.clientY);
      }
      pointers.set(event.pointerId, event);
    });
    const release = (event) => {
      pointers.delete(event.pointerId);
      if (pointers.size === 0) element.classList.remove("moving");
    };
    element.addEventListener("pointerup", release);
    element.addEventListener("pointercancel", release);
    element.addEventListener("pointerleave", () => this.onPoint(null));
    element.addEventListener("dblclick", (event) => {
      const box = element.getBoundingClientRect();
      if (this.isFit) this.zoom(2.5, event.clientX - box.left, event.clientY - box.top);
      else {
        this.fit();
        this.draw();
      }
    });
    element.addEventListener("keydown", (event) => {
      if (event.target === divider || event.ctrlKey || event.metaKey || event.altKey) return;
      if (KEYS[event.key]) this.move(...KEYS[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(1.25);
      else if (event.key === "-") this.zoom(0.8);
      else if (event.key === "0" && this.content) {
        this.fit();
        this.draw();
      } else return;
      event.preventDefault();
    });
    divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const box = element.getBoundingClientRect();
      this.divide((event.clientX - box.left) / box.width);
    });
    divider.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
      if (!(event.key in steps)) return;
      this.divide(this.line + steps[event.key]);
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
