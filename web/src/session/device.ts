/** A browser and its system in two words, from how it names itself: "Chrome, Linux". */
export function browserName(agent: string): string {
  const browser = /Firefox|Edg|Chrome|Safari/.exec(agent)?.[0].replace('Edg', 'Edge') ?? 'Browser';
  const system = /Windows|Android|iPhone|iPad|Mac OS X|Linux/.exec(agent)?.[0] ?? '';
  return system ? `${browser}, ${system}` : browser;
}
