// @hubspot/api-client against the sandbox. HUBSPOT_URL and TOKEN say where; the test says what each call must see.
const { Client } = require('@hubspot/api-client');
const { table } = require('./table.cjs');

const { HUBSPOT_URL, TOKEN } = process.env;
const limiterOptions = { maxConcurrent: 1, minTime: 0 };
const client = new Client({ accessToken: TOKEN, basePath: HUBSPOT_URL, limiterOptions });
const { crm, oauth } = client;
const call = table((error) => error.code && [error.code, error.body?.category ?? error.body?.error ?? null]);
const { contacts, companies } = crm;
const emails = (page) => page.results.map((record) => record.properties.email);

async function main() {
  let ann, bob, company;
  await call('create a contact', async () => {
    ann = await contacts.basicApi.create({ properties: { email: 'ann@x.example', firstname: 'Ann', jobtitle: 'CFO' } });
    return [ann.properties.email, ann.archived, ann.createdAt instanceof Date];
  });
  await call('create it again', () => contacts.basicApi.create({ properties: { email: 'ann@x.example' } }));
  await call('create with an unknown property', () => contacts.basicApi.create({ properties: { nope: 'x' } }));
  await call('read two properties', async () => {
    const read = await contacts.basicApi.getById(ann.id, ['firstname', 'jobtitle']);
    return [read.properties.firstname, read.properties.jobtitle];
  });
  await call('read by email', async () => {
    const read = await contacts.basicApi.getById('ann@x.example', ['email'], undefined, undefined, false, 'email');
    return read.id === ann.id;
  });
  await call('ask for the history of values', () => contacts.basicApi.getById(ann.id, undefined, ['email']));
  await call('update to null keeps', async () => {
    await contacts.basicApi.update(ann.id, { properties: { jobtitle: null } });
    return (await contacts.basicApi.getById(ann.id, ['jobtitle'])).properties.jobtitle;
  });
  await call('update to nothing clears', async () => {
    await contacts.basicApi.update(ann.id, { properties: { jobtitle: '' } });
    return (await contacts.basicApi.getById(ann.id, ['jobtitle'])).properties.jobtitle;
  });
  await call('update an unknown record', () => contacts.basicApi.update('1', { properties: { city: 'Graz' } }));

  await call('batch create', async () => {
    const inputs = ['bob', 'cid', 'dan'].map((name, i) => ({
      properties: { email: `${name}@x.example`, firstname: name, annualrevenue: String(9 + i) },
    }));
    const made = await contacts.batchApi.create({ inputs });
    bob = made.results.find((record) => record.properties.firstname === 'bob');
    return [made.status, made.results.length];
  });
  await call('batch of 101', () =>
    contacts.batchApi.create({ inputs: Array.from({ length: 101 }, () => ({ properties: {} })) }));
  await call('batch read', async () => {
    const read = await contacts.batchApi.read({ inputs: [{ id: 'bob@x.example' }], idProperty: 'email', properties: ['firstname'], propertiesWithHistory: [] });
    return read.results[0].properties.firstname;
  });
  await call('batch update', async () => {
    const done = await contacts.batchApi.update({ inputs: [{ id: bob.id, properties: { city: 'Graz' } }] });
    return done.results[0].properties.city;
  });
  await call('batch update of an unknown record', async () => {
    const done = await contacts.batchApi.update({ inputs: [{ id: '1', properties: { city: 'Graz' } }] });
    return done.errors.map((error) => error.category);
  });
  await call('batch upsert', async () => {
    const input = (email) => ({ id: email, idProperty: 'email', properties: { city: 'Linz' } });
    const done = await contacts.batchApi.upsert({ inputs: [input('bob@x.example'), input('eve@x.example')] });
    return done.results.map((record) => record._new);
  });

  await call('a page', async () => {
    const page = await contacts.basicApi.getPage(2, undefined, ['email']);
    const next = await contacts.basicApi.getPage(2, page.paging.next.after, ['email']);
    return [...emails(page), ...emails(next)];
  });
  await call('all pages', async () => (await contacts.getAll(2)).length);
  await call('a page of 101', () => contacts.basicApi.getPage(101));
  await call('a page after nonsense', () => contacts.basicApi.getPage(2, 'abc'));

  const search = (request) => contacts.searchApi.doSearch({ properties: ['email'], ...request });
  const filtered = (...filters) => search({ filterGroups: [{ filters }] });
  await call('search by filter', async () =>
    emails(await filtered({ propertyName: 'firstname', operator: 'EQ', value: 'bob' })));
  await call('search between', async () =>
    emails(await filtered({ propertyName: 'annualrevenue', operator: 'BETWEEN', value: '10', highValue: '11' })));
  await call('search by words', async () => emails(await search({ query: 'Bob' })));
  await call('search by words of two properties', async () => emails(await search({ query: 'example cid' })));
  await call('sorted descending', async () => emails(await search({ sorts: ['-email'] })));
  await call('sorted by rule', async () =>
    emails(await search({ sorts: [{ propertyName: 'annualrevenue', direction: 'DESCENDING' }] })));
  await call('sorted ascending, second page', async () => emails(await search({ sorts: ['email'], limit: 2, after: '2' })));
  await call('two sorts', () => search({ sorts: ['email', 'city'] }));
  await call('search of 201', () => search({ limit: 201 }));
  await call('search after nonsense', () => search({ after: 'abc' }));
  await call('search with an unknown operator', () => filtered({ propertyName: 'email', operator: 'LIKE', value: 'b' }));

  await call('a company, a deal, a ticket', async () => {
    company = await companies.basicApi.create({ properties: { name: 'Northpeak' } });
    const deal = await crm.deals.basicApi.create({ properties: { dealname: 'Renewal', amount: '1500.50', closedate: '2026-12-01' } });
    const ticket = await crm.tickets.basicApi.create({ properties: { subject: 'Help' } });
    return [company.properties.name, deal.properties.amount, deal.properties.closedate, ticket.properties.subject];
  });
  await call('a note at a time in milliseconds', async () => {
    const note = await crm.objects.basicApi.create('notes', { properties: { hs_note_body: 'Hi', hs_timestamp: '1790000000123' } });
    return note.properties.hs_timestamp;
  });
  await call('a contact with an association', async () => {
    const types = [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 279 }];
    const made = await contacts.basicApi.create({ properties: { email: 'fay@x.example' }, associations: [{ to: { id: company.id }, types }] });
    const read = await contacts.basicApi.getById(made.id, undefined, undefined, ['companies']);
    return read.associations.companies.results.length;
  });
  const v4 = crm.associations.v4;
  await call('the default association', async () => {
    const made = await v4.basicApi.createDefault('contacts', ann.id, 'companies', company.id);
    const [{ _from, to, associationSpec }] = made.results;
    return [made.status, _from.id === ann.id, to.id === company.id, associationSpec.associationTypeId];
  });
  await call('default associations in a batch', async () => {
    const made = await v4.batchApi.createDefault('contacts', 'companies', { inputs: [{ _from: { id: bob.id }, to: { id: company.id } }] });
    return made.results.map((result) => result.associationSpec.associationTypeId);
  });
  await call('an association with its type', async () => {
    const types = [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 1 }];
    return String((await v4.basicApi.create('contacts', ann.id, 'companies', company.id, types)).toObjectId) === company.id;
  });
  await call('the associations of a record', async () => {
    const page = await v4.basicApi.getPage('contacts', ann.id, 'companies', undefined, 100);
    return page.results[0].associationTypes.map((type) => type.typeId).sort();
  });
  await call('associations in a batch', async () => {
    const types = [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 279 }];
    const made = await v4.batchApi.create('contacts', 'companies', { inputs: [{ _from: { id: bob.id }, to: { id: company.id }, types }] });
    return made.results.length;
  });
  await call('remove an association', async () => {
    await v4.basicApi.archive('contacts', ann.id, 'companies', company.id);
    return (await v4.basicApi.getPage('contacts', ann.id, 'companies')).results;
  });

  await call("HubSpot's properties", async () => {
    const all = await crm.properties.coreApi.getAll('contacts');
    const email = all.results.find((property) => property.name === 'firstname');
    return [email.label, email.hubspotDefined, email.groupName];
  });
  await call('a property group', async () => {
    const group = await crm.properties.groupsApi.create('contacts', { name: 'erp', label: 'ERP', displayOrder: 3 });
    return [group.name, group.label, group.displayOrder];
  });
  const property = { label: 'ERP number', type: 'enumeration', fieldType: 'select', groupName: 'erp', description: 'From the ERP' };
  await call('a property', async () => {
    const options = [{ label: 'One', value: '1', displayOrder: 0, hidden: false }];
    const made = await crm.properties.coreApi.create('contacts', { ...property, name: 'erp_no', options });
    return [made.groupName, made.label, made.description, made.options[0].label, made.createdAt instanceof Date, made.hubspotDefined ?? false];
  });
  await call('a property of an unknown group', () =>
    crm.properties.coreApi.create('contacts', { ...property, name: 'other', groupName: 'nope', options: [] }));
  await call('change a property', async () =>
    (await crm.properties.coreApi.update('contacts', 'erp_no', { label: 'Number' })).label);

  const schemas = crm.schemas.coreApi;
  const schema = {
    name: 'car', labels: { singular: 'Car', plural: 'Cars' }, requiredProperties: ['plate'], searchableProperties: ['plate'],
    primaryDisplayProperty: 'plate', associatedObjects: ['CONTACT'],
    properties: [{ name: 'plate', label: 'Plate', type: 'string', fieldType: 'text' }],
  };
  await call('a schema', async () => {
    const made = await schemas.create(schema);
    return [made.labels.singular, made.labels.plural, made.requiredProperties, made.primaryDisplayProperty];
  });
  await call('read schemas', async () => {
    const [all, one] = [await schemas.getAll(), await schemas.getById('car')];
    return [all.results.length, one.labels.plural, one.requiredProperties];
  });
  await call('change a schema', async () => (await schemas.update('car', { labels: { singular: 'Car', plural: 'Autos' } })).labels.plural);
  await call('a record without its required property', () => crm.objects.basicApi.create('car', { properties: {} }));
  await call('a record with it', async () => {
    await crm.objects.basicApi.create('car', { properties: { plate: 'G 1' } });
    return (await crm.objects.searchApi.doSearch('car', { query: 'g', properties: ['plate'] })).results.map((r) => r.properties.plate);
  });

  await call('merge', async () => {
    const merged = await contacts.publicObjectApi?.merge({ primaryObjectId: ann.id, objectIdToMerge: bob.id })
      ?? await contacts.basicApi.merge({ primaryObjectId: ann.id, objectIdToMerge: bob.id });
    return merged.id === ann.id;
  });
  await call('archive', async () => {
    await contacts.basicApi.archive(ann.id);
    return (await contacts.basicApi.getById(ann.id, ['email'], undefined, undefined, true)).archived;
  });
  await call('archive an unknown record', () => contacts.basicApi.archive('1'));
  await call('batch archive', () => contacts.batchApi.archive({ inputs: [{ id: '1' }] }));
  await call('refresh the token', async () => {
    const tokens = await oauth.tokensApi.create('refresh_token', undefined, undefined, 'id', 'secret', 'test-refresh-acme');
    return [tokens.tokenType, tokens.expiresIn];
  });
  await call('owners are not simulated', () => crm.owners.ownersApi.getPage());
}

main();
