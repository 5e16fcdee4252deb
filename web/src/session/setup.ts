import { shallowRef } from 'vue';

/**
 * What the first run gives out once. It lives in this variable alone, never in storage, until the sheet is
 * confirmed or the page goes away.
 */
export interface RecoverySheet {
  secret: string;
}

export const recoverySheet = shallowRef<RecoverySheet | null>(null);
