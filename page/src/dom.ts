// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Elements without a framework.

export type Child = Node | string | number | null | undefined | false | Child[];
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

function append(parent: Node, child: Child): void {
  if (Array.isArray(child)) child.forEach((one) => append(parent, one));
  else if (child instanceof Node) parent.appendChild(child);
  else if (child !== null && child !== undefined && child !== false) parent.appendChild(document.createTextNode(String(child)));
}

/** An element; attributes that begin with "on" are listeners. Text is never taken for markup. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as unknown as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

export function replace(parent: Element, ...children: Child[]): void {
  const made = document.createDocumentFragment();
  append(made, children);
  parent.replaceChildren(made);
}

/** Says something to those who do not see the page. */
export function say(text: string): void {
  const said = document.getElementById("said");
  if (said && said.textContent !== text) said.textContent = text;
}

export function select(label: string, options: [string, string][], chosen: string, change: (value: string) => void): HTMLElement {
  const list = h("select", { "aria-label": label, onchange: () => change(list.value) }, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  list.value = chosen;
  return h("label", { class: "field", title: label }, h("span", { class: "name" }, label), list);
}

export function toggle(label: string, on: boolean, change: (on: boolean) => void, hint = ""): HTMLButtonElement {
  const button = h("button", { type: "button", class: "toggle", "aria-pressed": String(on), title: hint, onclick: () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(now));
    change(now);
  } }, label);
  return button;
}

export function save(name: string, blob: Blob): void {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
