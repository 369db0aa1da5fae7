/** The element of this id, which the page has. */
export function byId<T extends HTMLElement> (id: string): T {
  return document.getElementById(id) as T
}

/** A new element with a class and a text. */
export function make<K extends keyof HTMLElementTagNameMap> (tag: K, className = '', text = ''): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  element.className = className
  element.textContent = text
  return element
}

/** Shows what a list is for until it has something. */
export function hideHint (list: string): void {
  document.querySelector<HTMLElement>(`[data-empty=${list}]`)!.hidden = true
}

/** Adds to a list that scrolls, and keeps its end in sight, unless the reader has scrolled away from it. */
export function append (list: HTMLElement, item: HTMLElement): void {
  const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40
  list.append(item)
  if (isAtEnd) list.scrollTop = list.scrollHeight
}

/** Changes a text, where it is another. */
export function write (element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text
}
