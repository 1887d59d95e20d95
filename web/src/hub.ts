/** What the page that teaches needs of the Hub's own client. It is a file of its own, as few visitors need it. */

export { HubApiError, commit, createRepo, oauthHandleRedirect, oauthLoginUrl } from "@huggingface/hub";
