// As much of a browser's document as the page of results uses: elements with attributes, children, texts and listeners.

class Node {
  constructor(name, text = "") {
    Object.assign(this, { name, text, attributes: {}, children: [], listeners: {}, value: "", hidden: false });
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
    if (name === "value") this.value = value;
  }

  append(...children) {
    this.children.push(...children);
  }

  replaceChildren(...children) {
    this.children = children;
    this.text = "";
  }

  get textContent() {
    return this.text + this.children.map((child) => child.textContent).join("");
  }

  set textContent(text) {
    this.replaceChildren();
    this.text = text;
  }

  addEventListener(kind, listener) {
    this.listeners[kind] = listener;
  }

  /** What its listener returns for an event. */
  fire(kind) {
    return this.listeners[kind]({ preventDefault() {} });
  }

  focus() {
    Node.focused = this;
  }

  /** The elements of a name in it. */
  all(name) {
    const within = this.children.flatMap((child) => child.all(name));
    return this.name === name ? [this, ...within] : within;
  }
}

/** A document with the elements of these ids and names. */
export function fakeDocument(ids) {
  const named = new Map(ids.map((id) => [id, new Node(id)]));
  return {
    createElement: (name) => new Node(name),
    createElementNS: (_, name) => new Node(name),
    createTextNode: (text) => new Node("#text", text),
    getElementById: (id) => named.get(id) ?? null,
    querySelectorAll: () => [],
    focused: () => Node.focused,
  };
}
