// Signing in with the token, and out.

import { ApiError, get, token } from "./api.js";
import { byId, say } from "./dom.js";

const REASON = "expiry.reason";
const WRONG = "This token is wrong.";

/** Waits until somebody gave a token that the service accepts. */
export async function signIn() {
  const form = byId("sign-in-form");
  const field = byId("token");
  byId("sign-in").hidden = false;
  byId("app").hidden = true;
  problem(sessionStorage.getItem(REASON) ?? "");
  sessionStorage.removeItem(REASON);
  field.focus();
  await new Promise((resolve) => {
    form.onsubmit = async (event) => {
      event.preventDefault();
      const given = field.value.trim();
      if (given === "") return problem("Please give the token.");
      // No header could carry another one.
      if (!/^[!-~]+$/.test(given)) return problem(WRONG);
      const button = byId("sign-in-do");
      if (button.ariaDisabled === "true") return;
      button.ariaDisabled = "true";
      try {
        await get("/overview", { as: given });
        token.set(given);
        resolve(undefined);
      } catch (error) {
        problem(words(error));
        field.focus();
        field.select();
      }
      button.ariaDisabled = null;
    };
  });
  field.value = "";
  problem("");
}

export function showApp() {
  byId("sign-in").hidden = true;
  byId("app").hidden = false;
}

/** Forgets the token and everything that was shown, and says why, if it was not asked for. */
export function signOut(reason = "") {
  token.forget();
  if (reason !== "") sessionStorage.setItem(REASON, reason);
  location.reload();
}

function words(error) {
  if (!(error instanceof ApiError)) return `This did not work: ${error.message}`;
  if (error.isUnauthorized) return WRONG;
  if (error.status === 429) return `Too many wrong tokens came from here. Please wait ${error.retryAfter} seconds.`;
  return `This did not work: ${error.message}.`;
}

function problem(text) {
  say(byId("sign-in-problem"), text);
  byId("sign-in-problem").hidden = text === "";
  byId("token").setAttribute("aria-invalid", String(text !== ""));
}
