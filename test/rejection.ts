/** The error that a promise rejects with. @throws Error if it does not reject */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('Expected a rejection but the promise was fulfilled.');
}
