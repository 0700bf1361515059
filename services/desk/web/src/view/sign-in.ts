import { html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { texts, type Language } from "../i18n/index.ts";
import { signIn, SignInError, type Session, type SignInEnd } from "../session.ts";

export class SignedInEvent extends Event {
  constructor(readonly session: Session) {
    super("signed-in", { bubbles: true });
  }
}

@customElement("sign-in")
export class SignIn extends LitElement {
  @property({ attribute: false }) language!: Language;
  @property({ attribute: false }) apiUrl!: string;
  /** The last sign-in ended by itself: say why. */
  @property({ attribute: false }) ended: SignInEnd | null = null;
  @state() private busy = false;
  @state() private error: SignInError | null = null;

  // Password managers look for the form in the page itself, not in a shadow tree.
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override firstUpdated(): void {
    this.field("login").focus();
  }

  protected override render(): TemplateResult {
    const t = texts(this.language).signIn;
    return html`
      <form class="sign-in" @submit=${this.submit} aria-labelledby="sign-in-title">
        <h1 id="sign-in-title">${t.title}</h1>
        ${this.ended && !this.error ? html`<p class="notice" role="status">${t.ended[this.ended]}</p>` : nothing}
        <label for="login">${t.login}</label>
        <input id="login" name="login" autocomplete="username" autocapitalize="none" spellcheck="false" required />
        <label for="password">${t.password}</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required />
        <p class="error" role="alert">${this.sentence()}</p>
        <button class="primary" type="submit" aria-disabled=${this.busy}>${this.busy ? t.busy : t.submit}</button>
      </form>
    `;
  }

  /** Ours where we know the case, in the agent's language; else the server's. */
  private sentence(): string | typeof nothing {
    if (!this.error) return nothing;
    const { problem, detail } = this.error;
    return (problem === "other" ? detail : null) ?? texts(this.language).signIn.problems[problem];
  }

  private readonly submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (this.busy) return;
    this.busy = true;
    this.error = null;
    try {
      const session = await signIn(this.apiUrl, this.field("login").value.trim(), this.field("password").value);
      this.dispatchEvent(new SignedInEvent(session));
    } catch (error) {
      this.error = error instanceof SignInError ? error : new SignInError("other");
      if (this.error.problem === "credentials") this.field("password").select();
    } finally {
      this.busy = false;
    }
  };

  private field(name: string): HTMLInputElement {
    return this.querySelector(`input[name=${name}]`) as HTMLInputElement;
  }
}
