// npm's oidc-provider, a certified provider that nobody of this project wrote, for tests.
//
//   node server.mjs '{"host": "localhost", "clients": [{"client_id": "…", …}]}'
//
// Serves on a free port of loopback, writes one line of JSON ({"issuer": "http://…"}) when it is
// ready, and ends when its standard input does. Everything else is told in ../certified.py.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

import Provider, { errors } from 'oidc-provider';

const { host, clients, resources } = JSON.parse(process.argv[2]);

const escape = (value) => String(value).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
const page = (title, body) => `<!DOCTYPE html><title>${title}</title><h1>${title}</h1>${body}`;

function signingKey(kid, alg, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
}

// Pages of our own: the provider's would fetch a font from the internet.
async function logoutSource(ctx, form) {
  const button = '<button form="op.logoutForm" name="logout" value="yes">Sign out</button>';
  ctx.body = page('Sign out?', form + button);
}

const encryption = ['RSA-OAEP', 'RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW'];

const configuration = {
  clients,
  jwks: {
    keys: [
      signingKey('rsa', 'RS256', 'rsa', { modulusLength: 2048 }),
      signingKey('ec', 'ES256', 'ec', { namedCurve: 'P-256' }),
      signingKey('ed', 'Ed25519', 'ed25519'),
    ],
  },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: `${sub} of the tests`, email: `${sub}@example.com`, email_verified: true }),
  }),
  enabledJWA: { idTokenEncryptionAlgValues: encryption, userinfoEncryptionAlgValues: encryption },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    encryption: { enabled: true },
    jwtUserinfo: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      // So that an application gets the token it asked for without saying it twice.
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => {
        if (!Object.hasOwn(resources, resource)) throw new errors.InvalidTarget();
        return { audience: resource, ...resources[resource] };
      },
    },
    revocation: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource,
      postLogoutSuccessSource: async (ctx) => { ctx.body = page('Signed out', ''); },
    },
  },
  renderError: async (ctx, out) => {
    ctx.type = 'html';
    ctx.body = page('Refused', `<pre>${escape(JSON.stringify(out))}</pre>`);
  },
  // Its dispatcher refuses loopback, where the applications of a test live.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  ttl: { AccessToken: 3600, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400, Session: 86400 },
};

async function consent({ grantId, prompt, params, session }) {
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(prompt.details.missingOIDCScope?.join(' ') ?? '');
  grant.addOIDCClaims(prompt.details.missingOIDCClaims ?? []);
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return { consent: { grantId: await grant.save() } };
}

async function interact(req, res) {
  const details = await provider.interactionDetails(req, res);
  const login = details.prompt.name === 'login';
  if (req.method === 'POST') {
    const form = new URLSearchParams(await text(req));
    let result;
    if (form.has('cancel')) result = { error: 'access_denied', error_description: 'the user <b>declined</b>' };
    else if (login) result = { login: { accountId: form.get('login') } };
    else result = await consent(details);
    return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: !login });
  }
  const field = login ? '<input name="login" required autofocus placeholder="any name">' : '';
  const buttons = '<button name="go" value="yes">Continue</button> <button name="cancel" value="yes">Cancel</button>';
  res.setHeader('content-type', 'text/html; charset=utf-8');
  return res.end(page(login ? 'Sign in' : 'Allow?', `<form method="post">${field} ${buttons}</form>`));
}

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://${host}:${server.address().port}`;
const provider = new Provider(issuer, configuration);

const deliveries = [];
const delivered = (ok) => (ctx, ...rest) => {
  const [client, sub, sid] = rest.slice(ok ? 0 : 1);
  deliveries.push({ client_id: client.clientId, sub, sid, error: ok ? null : rest[0].message });
};
provider.on('backchannel.success', delivered(true));
provider.on('backchannel.error', delivered(false));
provider.on('server_error', (ctx, error) => console.error(error));

const protocol = provider.callback();
server.on('request', (req, res) => {
  if (req.url === '/deliveries') res.end(JSON.stringify(deliveries));
  else if (req.url.startsWith('/interaction/')) {
    interact(req, res).catch((error) => {
      res.statusCode = 400;
      res.end(String(error));
    });
  } else protocol(req, res);
});

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer }));
