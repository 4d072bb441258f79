export function halvedContract(wit: string): string;
export function widenComponent(component: Uint8Array): void;
